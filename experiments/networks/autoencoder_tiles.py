"""Decoding latents too large for one pass, in overlapping tiles blended where they meet.

Group norm and attention see one tile at a time, so the picture differs slightly from a decoding in one piece; images
that are measured are decoded whole.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

TILE = 64
"""Latents a side: the 512-pixel image that the published networks decode in one piece."""

OVERLAP = 16


def decode_tiled(
    decode: Callable[[np.ndarray], np.ndarray],
    latents: np.ndarray,
    scale: int,
    tile: int = TILE,
    overlap: int = OVERLAP,
) -> NDArray[np.float32]:
    """Images (N, scale H, scale W, C) of latents (N, H, W, c), by `decode` of pieces no larger than tile × tile.

    Where tiles overlap, each fades linearly into the next; small latents are one tile. Raises ValueError unless
    0 <= overlap < tile.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"tiles of {tile} latents with an overlap of {overlap}; allowed is 0 to {tile - 1}")
    height, width = latents.shape[1:3]
    images = weights = np.zeros(0, np.float32)
    for top in _starts(height, tile, overlap):
        for left in _starts(width, tile, overlap):
            piece = np.asarray(decode(latents[:, top : top + tile, left : left + tile]), np.float32)
            fade = np.outer(_fade(piece.shape[1], overlap * scale), _fade(piece.shape[2], overlap * scale))[..., None]
            if not images.size:
                images = np.zeros((len(latents), height * scale, width * scale, piece.shape[-1]), np.float32)
                weights = np.zeros((height * scale, width * scale, 1), np.float32)
            rows = slice(top * scale, top * scale + piece.shape[1])
            columns = slice(left * scale, left * scale + piece.shape[2])
            images[:, rows, columns] += piece * fade
            weights[rows, columns] += fade
    return images / weights


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """First latents of tiles that cover `length`; the last tile ends where the latents do, so all have one size."""
    last = max(length - tile, 0)
    return [*range(0, last, tile - overlap), last]


def _fade(length: int, overlap: int) -> NDArray[np.float32]:
    """Weights that rise to 1 over `overlap` pixels and fall at the end, never 0."""
    rise = np.minimum(np.arange(1, length + 1, dtype=np.float32) / (overlap + 1), 1)
    return rise * rise[::-1]
