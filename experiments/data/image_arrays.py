"""Images in ADM's `.npz` form, `arr_0` uint8 (N, H, W, 3 or 1) and perhaps labels `arr_1`, read in chunks.

Every program that samples ImageNet models writes this form. Statistics in such files are `metrics.reference`.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.store.arrays import ended, opened_arrays

ANY = "biufcmMOSUV"
"""Every kind of array, so that one that is not read is named by its type."""


def to_uint8(images: np.ndarray) -> NDArray[np.uint8]:
    """Images in [-1, 1] as DiT and ADM store them: clamp(127.5 x + 128, 0, 255) without its fraction."""
    return np.clip(127.5 * np.asarray(images, np.float32) + 128, 0, 255).astype(np.uint8)


def write_images(path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64] | None = None) -> None:
    """Write images, uint8 (N, H, W, 3), and labels if given, for this program's and ADM's evaluation."""
    np.savez(path, images) if labels is None else np.savez(path, images, labels)


def image_chunks(path: Path, rows: int = 256) -> Iterator[NDArray[np.uint8]]:
    """The images of a file, uint8 (≤ rows, H, W, 3) at a time, without holding them all.

    Raises DataError for a file without `arr_0`, another type or shape, and a file that ends early.
    """
    with opened_arrays(path, str(path), DataError) as arrays:
        if "arr_0" not in arrays:
            raise DataError(f"{path}: holds no images: no array arr_0")
        with arrays.opened("arr_0", ANY) as (member, shape, fortran, dtype):
            _check(path, shape, fortran, dtype)
            for start in range(0, shape[0], rows):
                yield _read(path, member, (min(rows, shape[0] - start), *shape[1:]))
            ended(member, b"", 0)


def _check(path: Path, shape: tuple[int, ...], fortran: bool, dtype: np.dtype) -> None:
    if dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3) or fortran or 0 in shape:
        raise DataError(
            f"{path}: arr_0 is {dtype} {shape}; expected uint8 (N, H, W, 3), images of one size in RGB, or (N, H, W, 1)"
        )


def _read(path: Path, member: IO[bytes], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    wanted = math.prod(shape)
    content = member.read(wanted)
    if len(content) < wanted:
        raise DataError(f"{path}: arr_0 ends early; copy the file again")
    return np.frombuffer(content, np.uint8).reshape(shape)
