"""Sample files of any program are read in chunks of any size, and broken ones named."""

from typing import Any

import numpy as np
import pytest

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.image_arrays import image_chunks, to_uint8, write_images


@pytest.mark.parametrize("rows", [1, 4, 7, 100])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_chunks_are_all_the_images_in_order(tmp_path, rows, save):
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)
    save(tmp_path / "s.npz", images, np.arange(7))
    chunks = list(image_chunks(tmp_path / "s.npz", rows))
    assert max(len(chunk) for chunk in chunks) <= rows
    assert np.array_equal(np.concatenate(chunks), images)


def test_what_is_written_reads_back(tmp_path):
    images = to_uint8(np.linspace(-1.2, 1.2, 2 * 4 * 4 * 3).reshape(2, 4, 4, 3))
    write_images(tmp_path / "s.npz", images, np.array([3, 1]))
    assert np.array_equal(next(image_chunks(tmp_path / "s.npz")), images)
    assert list(np.load(tmp_path / "s.npz")["arr_1"]) == [3, 1]


def test_the_grey_level_rule_rounds_half_up():
    levels = np.arange(256)
    assert np.array_equal(to_uint8(levels / 127.5 - 1), levels)  # a stored image survives the way back
    assert list(to_uint8(np.array([-2, -1, 0, 0.003, 1, 2]))) == [0, 0, 128, 128, 255, 255]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "float": ({"arr_0": np.zeros((2, 4, 4, 3))}, r"arr_0 is float64 \(2, 4, 4, 3\); expected uint8"),
    "grey": ({"arr_0": np.zeros((2, 4, 4), np.uint8)}, r"arr_0 is uint8 \(2, 4, 4\); expected uint8 \(N, H, W, 3\)"),
    "other": ({"mu": np.zeros(3)}, "holds no images: no array arr_0"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_without_images_are_refused(tmp_path, name):
    arrays, message = BAD[name]
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(DataError, match=message):
        list(image_chunks(tmp_path / "s.npz"))


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "s.npz"
    np.savez(path, np.zeros((9, 4, 4, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="not a complete"):
        list(image_chunks(path))
