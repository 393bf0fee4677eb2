"""Where latents lie: shards on a disk, mapped into memory, or in a bucket, read a piece a latent, all pieces at once.

What is drawn from them is `latents`; writing them is `latent_shards`.
"""

import io
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


class _Disk:
    def __init__(self, folder: Path) -> None:
        self.manifest = read_manifest(folder)
        filled = [shard.index for shard in self.manifest.shards if shard.images]
        _check_complete(folder, [index for index in filled if not moments_path(folder, index).is_file()])
        self._moments = {index: np.load(moments_path(folder, index), mmap_mode="r") for index in filled}
        self._places = _Places(self.manifest)
        self.shape: tuple[int, ...] = self._moments[filled[0]].shape[1:]
        self.labels = np.concatenate([np.load(labels_path(folder, index)) for index in filled])

    def read(self, indices: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.float32]:
        found = np.empty((len(indices), *self.shape[1:]), np.float32)
        shards, places = self._places.of(indices)
        for row in np.argsort(indices, kind="stable"):  # in the order in which they lie on disk
            found[row] = self._moments[int(shards[row])][places[row], views[row]]
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

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        return np.concatenate([np.load(io.BytesIO(self._folder.read(labels_name(i)))) for i in self._filled])

    @property
    def shape(self) -> tuple[int, ...]:
        return self._headers[self._filled[0]][0]

    def read(self, indices: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.float32]:
        piece = self.shape[1:]
        size = int(np.prod(piece)) * np.dtype(np.float32).itemsize
        wanted = []
        for shard, place, view in zip(*self._places.of(indices), views, strict=True):
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
        return {i: _header(f"{where}/{n}", content) for i, n, content in zip(self._filled, names, found, strict=True)}


def _header(source: str, content: bytes) -> tuple[tuple[int, ...], int]:
    stream = io.BytesIO(content)
    try:
        npy.read_magic(stream)
        shape, fortran, dtype = npy.read_array_header_1_0(stream)
    except ValueError as error:
        raise DataError(f"{source}: not a shard of latents ({error})") from error
    if dtype != np.float32 or fortran:
        raise DataError(f"{source}: holds {dtype}; expected float32")
    return tuple(shape[1:]), stream.tell()


def _check_complete(folder: Path | str, missing: list[int]) -> None:
    if missing:
        raise DataError(f"{folder}: shards {missing[:5]} are missing; copy them or run `dit-grid encode` again")
