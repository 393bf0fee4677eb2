"""An image file's pixels as eight bits, whatever it holds: sixteen-bit grey is scaled, not cut off.

Cropping is `crop`, finding files `image_folder`.
"""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from dit_grid.experiments.data.dataset import DataError

SIXTEEN_BITS = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow's modes of 65,536 greys. Its own conversion to eight bits cuts off above 255 instead of scaling."""

NO_RANGE = frozenset({"I", "F"})
"""Modes whose numbers have no stated range, so that no scale would be right for all files."""

DAMAGE = (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def read_image(file: Path) -> Image.Image:
    """The decoded image, sixteen-bit grey as L: 65,535 is 255. Raises DataError if unreadable or without a range."""
    try:
        image = Image.open(file)
        image.load()
    except DAMAGE as error:
        raise DataError(f"{file}: not a readable image ({error}); remove or replace it") from error
    if image.mode in NO_RANGE:
        raise DataError(
            f"{file}: mode {image.mode}, whose numbers have no stated range; allowed are images of 8 bits, and grey "
            "ones of 16; save it as one of these"
        )
    return _eight_bits(image) if image.mode in SIXTEEN_BITS else image


def read_rgb(file: Path) -> Image.Image:
    """The image in RGB, as ADM converts it. Raises DataError as `read_image` does."""
    return read_image(file).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    grey = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((grey + 128) // 257).astype(np.uint8))  # 257 x 255 is 65,535
