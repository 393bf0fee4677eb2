"""Images to score, whoever made them: ADM's `.npz`, or a folder of image files, as uint8 chunks of one size.

Their scores are `foreign_images`. Of several sizes or modes they are refused unless a crop is asked for.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dit_grid.experiments.data.crop import center_crop
from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.encode import CENTER_CROP
from dit_grid.experiments.data.folder_contents import SUFFIXES, contents, described, is_litter
from dit_grid.experiments.data.image_arrays import ANY, image_chunks
from dit_grid.experiments.data.image_folder import list_images
from dit_grid.experiments.data.pixels import read_image, read_rgb
from dit_grid.experiments.store.arrays import Arrays, opened_arrays

ROWS = 256
"""Images of a chunk."""


@dataclass(frozen=True)
class ImageSet:
    """Where images are, how many, and the labels they were asked for if the file says. `crop` names what is cut.

    `left_out` says what else a folder holds; empty for nothing.
    """

    path: Path
    count: int
    labels: NDArray[np.int64] | None = None
    files: tuple[Path, ...] = ()
    crop_size: int | None = None
    left_out: str = ""

    @property
    def crop(self) -> str:
        return f"{CENTER_CROP} {self.crop_size}" if self.crop_size else ""

    def chunks(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the images, uint8 (n, H, W, 1 or 3), in order, without holding them all.

        Raises DataError for an image that cannot be read, or differs from the first in size or mode.
        """
        if not self.files:
            yield from image_chunks(self.path, ROWS)
            return
        first: tuple[str, tuple[int, int]] | None = None
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for part in (self.files[i : i + ROWS] for i in range(0, self.count, ROWS)):
                images = list(pool.map(self._read, part))
                first = first or (images[0].mode, images[0].size)
                for file, image in zip(part, images, strict=True):
                    _check_same(file, image, first)
                pixels = np.stack([np.asarray(image) for image in images])
                yield pixels if pixels.ndim == 4 else pixels[..., None]

    def _read(self, file: Path) -> Image.Image:
        return center_crop(read_rgb(file), self.crop_size) if self.crop_size else read_image(file)


def image_set(path: Path, crop_size: int | None = None) -> ImageSet:
    """The images of an `.npz` file or of a folder, with class folders (as ImageNet) or without.

    With `crop_size` the files of a folder are cropped as ADM does. Raises DataError when there is no image, a class
    folder without one, or a crop of an `.npz` is asked for.
    """
    if path.is_dir():
        files, left_out = _files(path)
        return ImageSet(path, len(files), files=files, crop_size=crop_size, left_out=left_out)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder; give an .npz with arr_0, or a folder of images")
    if crop_size is not None:
        raise DataError(f"{path}: images of an .npz are taken as they are; leave --image-size out")
    with opened_arrays(path, str(path), DataError) as arrays:
        if "arr_0" not in arrays:
            raise DataError(f"{path}: holds no images: no array arr_0, only {', '.join(arrays.names)[:200]}")
        with arrays.opened("arr_0", ANY) as (_, shape, _, dtype):
            count = shape[0] if shape else 0
        if not count:
            raise DataError(f"{path}: arr_0 holds no image: {dtype} of shape {shape}; expected uint8 (N, H, W, 3)")
        labels = _labels(path, arrays, count) if "arr_1" in arrays else None
    return ImageSet(path, count, labels)


def _labels(path: Path, arrays: Arrays, count: int) -> NDArray[np.int64]:
    """What `arr_1` says of each image: a class, as a whole number. Raises DataError for anything else."""
    held = arrays.array("arr_1", ANY)
    if held.shape == (count,) and held.dtype.kind in "iu" and (held >= 0).all() and (held < 2**31).all():
        return held.astype(np.int64)
    raise DataError(
        f"{path}: arr_1 is {held.dtype} of shape {held.shape}; expected the class of each of the {count} images, whole "
        f"numbers from 0, of shape ({count},)"
    )


def _files(folder: Path) -> tuple[tuple[Path, ...], str]:
    """The images of a folder, those in class folders or those beside them, whichever are more; and what is left out."""
    entries = sorted(entry for entry in folder.iterdir() if not is_litter(entry.name))
    flat = tuple(f for f in entries if f.suffix.lower() in SUFFIXES and f.is_file())
    deep = tuple(f for entry in entries if entry.is_dir() for f in contents(entry).images)
    if flat and len(flat) > len(deep):
        files, others = flat, [f for f in entries if not f.is_dir() and f not in set(flat)] + list(deep)
    else:
        listing = list_images(folder)
        files, others = listing.files, list(listing.left_out)
    return files, described(folder, others) if others else ""


def _check_same(file: Path, image: Image.Image, first: tuple[str, tuple[int, int]]) -> None:
    mode, size = first
    if image.mode not in ("RGB", "L"):
        raise DataError(f"{file}: mode {image.mode}; allowed is RGB, or L for grey; convert it, or add --image-size")
    if image.mode != mode:
        raise DataError(f"{file}: mode {image.mode}, but images before it are {mode}; convert it, or add --image-size")
    if image.size != size:
        raise DataError(
            f"{file}: {image.width} x {image.height} pixels, but images before it have {size[0]} x {size[1]}; scores "
            "of mixed sizes mean nothing: add --image-size to crop all alike"
        )
