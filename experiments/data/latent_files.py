"""Where latents lie: shards on a disk, mapped into memory, or in a bucket, read a piece a latent, all pieces at once.

What is drawn from them is `latents`; writing them is `latent_shards`.
"""

import hashlib
import io
import threading
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.latent_shards import (
    MANIFEST,
    Manifest,
    labels_name,
    labels_path,
    moments_name,
    moments_path,
    parse_manifest,
    read_manifest,
)
from dit_grid.experiments.data.remote import RemoteFolder, is_remote
from dit_grid.experiments.store.arrays import BROKEN

HEADER_BYTES = 4096
"""More than the header of any shard takes."""


class LatentFiles(Protocol):
    """Latents by their place in the manifest's order; `shape` is (2, H, W, 2 C): views, then mean and log variance."""

    manifest: Manifest

    @property
    def labels(self) -> NDArray[np.int32]:
        """The class of every image (N,)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the moments of one image."""

    def read(self, indices: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Moments (n, H, W, 2 C) of images, each as it is (view 0) or flipped (1)."""


def latent_files(folder: Path | str) -> LatentFiles:
    """The latents of a folder, on a disk or at gs://. Raises DataError for one that is unfinished or lacks a shard."""
    return _Bucket(str(folder)) if is_remote(str(folder)) else _Disk(Path(folder))


class _Places:
    """Which shard an image is in, and where."""

    def __init__(self, manifest: Manifest) -> None:
        # A shard whose images were all unreadable is empty, and nothing is read from it.
        self._starts = np.cumsum([0, *(shard.images for shard in manifest.shards)])

    def of(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        shards = np.searchsorted(self._starts, indices, side="right") - 1
        return shards, indices - self._starts[shards]


class _Checked:
    """Which shards are known to hold what the manifest says: each is read whole, once, before any of it is used."""

    def __init__(self, manifest: Manifest, where: Path | str, sha256: Callable[[int], str]) -> None:
        self._said = {shard.index: shard.moments_sha256 for shard in manifest.shards}
        self._where, self._sha256 = where, sha256
        self._sound: set[int] = set()
        self._turns = {index: threading.Lock() for index in self._said}

    def need(self, indices: Iterable[int]) -> None:
        """Return if these shards are sound. Raises DataError, naming the first that is not."""
        for index in sorted(set(indices) - self._sound):
            with self._turns[index]:  # of the threads that read ahead one hashes a shard, the others wait for it
                if index not in self._sound:
                    _same(self._where, moments_name(index), self._sha256(index), self._said[index])
                    self._sound.add(index)


def _same(where: Path | str, name: str, found: str, said: str) -> None:
    if found != said:
        raise DataError(
            f"{where}/{name}: is not what was encoded (SHA-256 {found[:12]}…, the manifest says {said[:12]}…); copy it "
            "again, or delete the folder and run `dit-grid encode` again"
        )


class _Disk:
    def __init__(self, folder: Path) -> None:
        self.manifest = read_manifest(folder)
        filled = [shard.index for shard in self.manifest.shards if shard.images]
        _check_complete(folder, [index for index in filled if not moments_path(folder, index).is_file()])
        self._folder, self._places = folder, _Places(self.manifest)
        self._checked = _Checked(self.manifest, folder, lambda index: _sha256(moments_path(folder, index)))
        self._moments = {index: self._opened(index) for index in filled}
        self.shape: tuple[int, ...] = self._moments[filled[0]].shape[1:]
        for index, moments in self._moments.items():
            images = self.manifest.shards[index].images
            _check_shape(str(moments_path(folder, index)), moments.shape, images, self.shape)
        self._checked.need(filled[:1])
        paths = {index: labels_path(folder, index) for index in filled}
        _check_complete(folder, [index for index in filled if not paths[index].is_file()])
        read = [_labels(folder, path.read_bytes(), self.manifest, index) for index, path in paths.items()]
        self.labels = np.concatenate(read)

    def _opened(self, index: int) -> NDArray[np.float32]:
        try:
            return _mapped(moments_path(self._folder, index))
        except DataError:
            self._checked.need([index])  # which says more of a file that changed
            raise

    def _shard(self, index: int) -> NDArray[np.float32]:
        """The shard in memory that the disk backs, once the file is known to be sound."""
        self._checked.need([index])
        return self._moments[index]

    def read(self, indices: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.float32]:
        found = np.empty((len(indices), *self.shape[1:]), np.float32)
        shards, places = self._places.of(indices)
        for row in np.argsort(indices, kind="stable"):  # in the order in which they lie on disk
            found[row] = self._shard(int(shards[row]))[places[row], views[row]]
        return found


class _Bucket:
    def __init__(self, folder: str) -> None:
        self._folder = RemoteFolder(folder)
        names = self._folder.names()
        if MANIFEST not in names:
            started = sum(name[:1].isdigit() and name.endswith(".json") for name in names)
            state = f"{started} shards are encoded, not all" if started else "no latents"
            raise DataError(f"{folder}: {state}; latents are made by `dit-grid encode FOLDER --vae FILE -o {folder}`")
        self.manifest = parse_manifest(self._folder.read(MANIFEST), f"{folder}/{MANIFEST}")
        self._filled = [shard.index for shard in self.manifest.shards if shard.images]
        _check_complete(folder, [index for index in self._filled if moments_name(index) not in names])
        self._places = _Places(self.manifest)
        self._checked = _Checked(self.manifest, folder, lambda i: _sha256_of(self._folder.read(moments_name(i))))

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        read = [_labels(self._folder.place, self._folder.read(labels_name(i)), self.manifest, i) for i in self._filled]
        return np.concatenate(read)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._headers[self._filled[0]][0]

    def read(self, indices: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.float32]:
        piece = self.shape[1:]
        size = int(np.prod(piece)) * np.dtype(np.float32).itemsize
        wanted = []
        shards, places = self._places.of(indices)
        self._checked.need(map(int, shards))
        for shard, place, view in zip(shards, places, views, strict=True):
            start = self._headers[int(shard)][1] + (int(place) * self.shape[0] + int(view)) * size
            wanted.append((moments_name(int(shard)), start, start + size))
        content = b"".join(self._folder.pieces(wanted))
        if len(content) != size * len(indices):
            raise DataError(f"{self._folder.place}: a shard ends early; copy it again or run `dit-grid encode` again")
        return np.frombuffer(content, np.float32).reshape(len(indices), *piece)

    @cached_property
    def _headers(self) -> dict[int, tuple[tuple[int, ...], int]]:
        """Of each shard the shape of one image's moments, and where its numbers begin; all asked for at once."""
        names = [moments_name(index) for index in self._filled]
        found = self._folder.pieces([(name, 0, HEADER_BYTES) for name in names])
        where = self._folder.place
        headers: dict[int, tuple[tuple[int, ...], int]] = {}
        for index, name, content in zip(self._filled, names, found, strict=True):
            shape, start = _header(f"{where}/{name}", content)
            first = headers[self._filled[0]][0] if headers else shape[1:]
            _check_shape(f"{where}/{name}", shape, self.manifest.shards[index].images, first)
            headers[index] = shape[1:], start
        return headers


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _header(source: str, content: bytes) -> tuple[tuple[int, ...], int]:
    stream = io.BytesIO(content)
    try:
        npy.read_magic(stream)
        shape, fortran, dtype = npy.read_array_header_1_0(stream)
    except BROKEN as error:
        raise DataError(f"{source}: not a shard of latents ({' '.join(str(error).split())[:200]})") from error
    if dtype != np.float32 or fortran:
        raise DataError(f"{source}: holds {dtype}; expected float32")
    return shape, stream.tell()


def _mapped(path: Path) -> NDArray[np.float32]:
    """A shard's moments, mapped into memory. Raises DataError for a file that is none."""
    try:
        moments = npy.open_memmap(path, mode="r")  # np.load takes a damaged first byte for an archive
    except BROKEN as error:
        raise DataError(f"{path}: not a shard of latents ({' '.join(str(error).split())[:200]})") from error
    if moments.dtype != np.float32 or not moments.flags.c_contiguous:
        raise DataError(f"{path}: holds {moments.dtype}; expected float32")
    return moments


def _labels(where: Path | str, content: bytes, manifest: Manifest, index: int) -> NDArray[np.int32]:
    """A shard's classes. Raises DataError for anything but the one that was encoded for each of its images."""
    shard, classes, source = manifest.shards[index], len(manifest.class_names), f"{where}/{labels_name(index)}"
    _same(where, labels_name(index), _sha256_of(content), shard.labels_sha256)
    try:
        stream = io.BytesIO(content)
        npy.read_magic(stream)
        shape, _, dtype = npy.read_array_header_1_0(stream)
        held = np.frombuffer(content, np.int32, offset=stream.tell()) if dtype == np.int32 else np.empty(0, np.int32)
    except BROKEN as error:
        raise DataError(f"{source}: not the labels of a shard ({' '.join(str(error).split())[:200]})") from error
    if shape != (shard.images,) or held.shape != shape or not ((held >= 0) & (held < classes)).all():
        raise DataError(f"{source}: not a class, 0 to {classes - 1}, for each of {shard.images} images; copy it again")
    return held


def _check_shape(source: str, shape: tuple[int, ...], images: int, one: tuple[int, ...]) -> None:
    if shape != (images, *one) or len(one) != 4 or one[0] != 2 or one[3] % 2 or 0 in one:
        raise DataError(
            f"{source}: shape {shape}; expected ({images}, 2, H, W, 2 C), alike in all shards; copy it again"
        )


def _check_complete(folder: Path | str, missing: list[int]) -> None:
    if missing:
        raise DataError(f"{folder}: shards {missing[:5]} are missing; copy them or run `dit-grid encode` again")
