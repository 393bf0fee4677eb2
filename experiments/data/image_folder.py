"""A folder of images in ImageNet's layout, one folder a class, as a dataset of cropped RGB images.

Images are decoded when a batch asks for them; latents of a folder, which training on ImageNet wants, are not made here.
"""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.crop import center_crop
from dit_grid.experiments.data.dataset import WHOLE, Batch, DataError, batch_positions, epoch_order
from dit_grid.experiments.data.folder_contents import contents, counted, described, is_litter
from dit_grid.experiments.data.pixels import read_image, read_rgb
from dit_grid.experiments.data.remote import cache_folder, replacing

HASHING_THREADS = 8
SHOWN = 12
"""Classes that are named; of more, the first and the last."""


@dataclass(frozen=True)
class Listing:
    """Every image file of a folder: `files[i]` shows class `class_names[labels[i]]`. Sorted by name.

    `left_out` is what else lies there, but for what systems leave.
    """

    folder: Path
    class_names: tuple[str, ...]
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    left_out: tuple[Path, ...] = ()

    @property
    def notes(self) -> list[str]:
        """Lines for the user: the classes, and what was left out."""
        names = [ascii(name)[1:-1] for name in self.class_names]
        shown = names if len(names) <= SHOWN else [*names[: SHOWN - 1], "…", names[-1]]
        said = [f"{self.folder}: {len(self.files):,} images of {len(names):,} classes: {', '.join(shown)}"]
        return said + ([described(self.folder, self.left_out)] if self.left_out else [])


@dataclass(frozen=True)
class Survey:
    """What decoding every image showed: unreadable files with the reason, and how many have each mode and size."""

    corrupt: tuple[tuple[Path, str], ...]
    modes: Counter[str]
    sizes: Counter[tuple[int, int]]


def list_images(folder: Path) -> Listing:
    """The images below FOLDER/CLASS/, classes numbered in the order of their names.

    Raises DataError for a missing folder, a folder without class folders, and every class folder without images.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    entries = sorted(entry for entry in folder.iterdir() if not is_litter(entry.name))
    classes = [entry for entry in entries if entry.is_dir()]
    if not classes:
        raise DataError(f"{folder}: no class folders; expected ImageNet's layout, {folder.name}/CLASS/IMAGE.jpg")
    held = [contents(entry) for entry in classes]
    found = [part.images for part in held]
    empty = [
        f"{entry.name} (holds {counted(part.left_out)})" if part.left_out else entry.name
        for entry, part in zip(classes, held, strict=True)
        if not part.images
    ]
    if empty:
        raise DataError(f"{folder}: {len(empty)} class folders without an image: {', '.join(empty[:5])}")
    labels = tuple(label for label, files in enumerate(found) for _ in files)
    left_out = (*(entry for entry in entries if not entry.is_dir()), *(f for part in held for f in part.left_out))
    files = tuple(f for files in found for f in files)
    return Listing(folder, tuple(c.name for c in classes), files, labels, left_out)


def survey(listing: Listing) -> Survey:
    """Decodes every image and reports what is unreadable or differs; raises nothing."""
    corrupt, modes, sizes = [], Counter[str](), Counter[tuple[int, int]]()
    for file in listing.files:
        try:
            image = read_image(file)
        except DataError as error:
            corrupt.append((file, str(error)))
            continue
        modes[image.mode] += 1
        sizes[image.size] += 1
    return Survey(tuple(corrupt), modes, sizes)


def check_uniform(found: Survey, listing: Listing) -> None:
    """Raises DataError unless every image is readable, RGB and of one size, as images scored without a crop must be."""
    if found.corrupt:
        names = ", ".join(str(file.relative_to(listing.folder)) for file, _ in found.corrupt[:5])
        raise DataError(
            f"{listing.folder}: {len(found.corrupt)} of {len(listing.files)} images cannot be read: {names}"
        )
    if set(found.modes) != {"RGB"}:
        raise DataError(f"{listing.folder}: images of mode {_counted(found.modes)}; allowed is RGB; convert the others")
    if len(found.sizes) > 1:
        raise DataError(
            f"{listing.folder}: images of size {_counted(found.sizes)}; allowed is one size; crop them first"
        )


def read_cropped(file: Path, size: int) -> NDArray[np.uint8]:
    """The image as uint8 (size, size, 3): converted to RGB as ADM does, centre crop. Raises DataError if unreadable.

    Grey of 16 bits is scaled to 8; modes without a range (I, F) are refused.
    """
    return np.asarray(center_crop(read_rgb(file), size))


def content_sha256(listing: Listing) -> str:
    """SHA-256 of the names and contents of all files.

    Contents are read once: the hash is kept in `cache_folder` for as long as no file's size or time of change differs.
    """
    names = [file.relative_to(listing.folder).as_posix() for file in listing.files]
    stamps = hashlib.sha256(str(listing.folder.resolve()).encode())
    for name, file in zip(names, listing.files, strict=True):
        status = file.stat()
        stamps.update(f"\n{name} {status.st_size} {status.st_mtime_ns}".encode())
    kept = cache_folder() / "contents" / stamps.hexdigest()
    if kept.is_file():
        return kept.read_text()
    digest = hashlib.sha256()
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        for name, content in zip(names, pool.map(_sha256, listing.files), strict=True):
            digest.update(f"{name} {content}\n".encode())
    with replacing(kept) as temporary:
        temporary.write_text(digest.hexdigest())
    return digest.hexdigest()


class ImageFolder:
    """The dataset of a folder, cropped to size × size; `heldout_images`, the same for every seed, are held out.

    Raises DataError for a bad layout at once, and for an unreadable image when a batch meets it.
    """

    def __init__(self, folder: Path, size: int, heldout_images: int = 0, name: str | None = None) -> None:
        self.listing = list_images(folder)
        total = len(self.listing.files)
        if not 0 <= heldout_images < total:
            raise DataError(f"{folder}: {heldout_images} images to hold out of {total}; allowed is 0 to {total - 1}")
        order = epoch_order(0, 0, total)
        self._heldout, self._train = np.sort(order[:heldout_images]), np.sort(order[heldout_images:])
        self.name = name or folder.name
        self.class_names = self.listing.class_names
        self.classes = len(self.class_names)
        self.labels = np.array(self.listing.labels, np.int32)
        self.shape = (size, size, 3)
        self.train_size = len(self._train)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of every file's name and content, the crop and the split; files are read once (`content_sha256`)."""
        split = f"{self.shape} {self._heldout.tolist()} {content_sha256(self.listing)}"
        return hashlib.sha256(split.encode()).hexdigest()

    def batch(self, seed: int, step: int, size: int, rows: slice = WHOLE) -> Batch:
        return self._take(self._train[batch_positions(seed, step, size, self.train_size)][rows])

    def batch_labels(self, seed: int, step: int, size: int) -> NDArray[np.int32]:
        """The labels of a batch, without reading images."""
        return self.labels[self._train[batch_positions(seed, step, size, self.train_size)]]

    def heldout(self) -> Batch:
        return self._take(self._heldout)

    def all(self) -> Batch:
        return self._take(np.arange(len(self.listing.files)))

    def _take(self, indices: NDArray[np.int64]) -> Batch:
        images = np.empty((len(indices), *self.shape), np.float32)
        for row, index in enumerate(indices):
            images[row] = read_cropped(self.listing.files[index], self.shape[0]) / np.float32(127.5) - 1
        return Batch(images, self.labels[indices])


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _counted(counts: Counter) -> str:
    return ", ".join(f"{key} ({count})" for key, count in counts.most_common(4))
