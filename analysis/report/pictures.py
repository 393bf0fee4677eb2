"""Sample pictures of each model as small PNGs inside the page, in the paper's order: patches down, sizes across.

What is here encodes; which pictures there are is `dit_grid.analysis.results.sample_sheets`.
"""

import base64
import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dit_grid.analysis.figures.samples import mosaic, place_of
from dit_grid.analysis.figures.style import few

SHOWN = 8
"""Pictures of each model, two rows of four."""

MOST = 8
"""Columns; of more sizes as many evenly chosen ones."""


def sample_grid(samples: Mapping[str, NDArray[np.floating]]) -> tuple[list[str], list[tuple[int, list[str | None]]]]:
    """Sizes, and for each patch a row of data URIs, None where the model has no pictures."""
    pictures = {place_of(name): array for name, array in samples.items()}
    sizes = few(list(dict.fromkeys(size for size, _ in pictures)), MOST)
    patches = sorted({patch for _, patch in pictures}, reverse=True)
    rows = [(patch, [_uri(pictures.get((size, patch))) for size in sizes]) for patch in patches]
    return sizes, rows


def _uri(pictures: NDArray[np.floating] | None) -> str | None:
    if pictures is None:
        return None
    from PIL import Image  # a report without samples needs no codec

    buffer = io.BytesIO()
    columns = min(4, len(pictures))
    Image.fromarray(mosaic(pictures[:SHOWN], columns, -(-min(SHOWN, len(pictures)) // columns))).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
