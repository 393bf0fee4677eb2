"""The centre crop is ADM's, pixel for pixel."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dit_grid.experiments.data.crop import center_crop

GOLDEN = Path(__file__).parents[2] / "golden" / "center_crop.npz"


@pytest.mark.parametrize("case", range(4))
def test_golden_crops(case):
    with np.load(GOLDEN) as golden:
        image, size, known = (golden[f"{case}.{part}"] for part in ("in", "image_size", "out"))
    found = np.asarray(center_crop(Image.fromarray(image), int(size)))
    # Exact on the Pillow that made the golden data; its resampling may round otherwise in another version.
    assert found.shape == known.shape
    assert np.abs(found.astype(int) - known.astype(int)).max() <= 1


def test_an_image_of_twice_the_size_is_averaged_by_fours():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    found = np.asarray(center_crop(Image.fromarray(image), 8))
    means = image.reshape(8, 2, 8, 2, 3).mean(axis=(1, 3))
    assert np.abs(found - means).max() <= 1  # rows, then columns, each rounded to whole levels
