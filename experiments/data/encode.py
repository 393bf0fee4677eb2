"""Encoding an image folder into latent shards: resumable, shared between hosts, each readable image once.

The autoencoder comes as a function, so nothing here needs JAX; storing is `latent_shards`.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.image_folder import Listing, read_cropped
from dit_grid.experiments.data.latent_shards import (
    Encoding,
    Making,
    Manifest,
    ShardRecord,
    begin,
    read_shard_record,
    write_manifest,
    write_shard,
)
from dit_grid.experiments.store.files import Files

Encode = Callable[[NDArray[np.float32]], tuple[np.ndarray, np.ndarray]]
"""From images (B, S, S, 3) in [-1, 1] to mean and log variance of their latents, (B, H, W, C) each, not scaled."""

CENTER_CROP = "adm center crop"
SHARD_IMAGES = 1024
"""Images of one shard: 64 MB of moments at 32 × 32 × 4 latents."""

BATCH = 16
AHEAD = 4
"""Batches of images that are read and cropped ahead of the encoder."""


def encoding_of(listing: Listing, making: Making, shard_images: int = SHARD_IMAGES) -> Encoding:
    """What encoding all images of `listing` makes; every host and every repetition must come to the same."""
    names = _names_sha256(listing, range(len(listing.files)))
    return Encoding(making, len(listing.files), names, listing.class_names, shard_images)


def encode_shards(
    listing: Listing,
    encoding: Encoding,
    encode: Encode,
    files: Files,
    *,
    batch: int = BATCH,
    host: int = 0,
    hosts: int = 1,
    workers: int | None = None,
    encoded: Callable[[int], None] = lambda images: None,
) -> Iterator[ShardRecord]:
    """Encode the shards of this host that are not there yet; yields the record of each, old or new, in order.

    Every image is encoded as it is and flipped, since a flipped latent is not the latent of a flipped image. `encoded`
    hears the number of images of each batch. Whoever finishes last calls `finish`. Raises DataError when `files` hold
    latents of other images or of another making, and for latents that are not finite.
    """
    begin(files, encoding)
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for index in range(host, encoding.shards, hosts):
            record = read_shard_record(files, index)
            yield record or _encode_shard(listing, encoding, index, encode, files, batch, pool, encoded)


def finish(encoding: Encoding, files: Files) -> Manifest | None:
    """Write and return the manifest if every host's shards are there, else None. Raises DataError for no image."""
    records = [read_shard_record(files, index) for index in range(encoding.shards)]
    shards = tuple(record for record in records if record is not None)
    if len(shards) < len(records):
        return None
    manifest = Manifest(encoding.class_names, shards)
    if not manifest.images:
        name, reason = manifest.skipped[0]
        raise DataError(f"none of {encoding.images} images can be read; the first is {name}: {reason}")
    write_manifest(files, manifest)
    return manifest


def _encode_shard(
    listing: Listing, encoding: Encoding, index: int, encode: Encode, files: Files, batch: int,
    pool: ThreadPoolExecutor, encoded: Callable[[int], None],
) -> ShardRecord:  # fmt: skip
    places = encoding.places(index)
    readable = _Readable(listing, places, encoding.making.image_size, pool, batch)
    moments: list[NDArray[np.float32]] = []
    labels: list[int] = []
    while part := list(islice(readable, batch)):
        found = _moments(np.stack([pixels for _, pixels in part]), encode, batch)
        if not np.isfinite(found).all():
            some = ", ".join(_name(listing, place) for place, _ in part[:3])
            raise DataError(f"latents of some of {some} … are not finite; is the VAE file damaged?")
        moments.append(found)
        labels += [listing.labels[place] for place, _ in part]
        encoded(len(part))
    if not moments:  # its shape still says what latents are like
        size = encoding.making.image_size
        moments = [_moments(np.zeros((1, size, size, 3), np.uint8), encode, batch)[:0]]
    names = _names_sha256(listing, places)
    skipped = tuple(readable.skipped)
    return write_shard(
        files, index, np.concatenate(moments), np.array(labels, np.int32), encoding.making, names, skipped
    )


class _Readable(Iterator[tuple[int, NDArray[np.uint8]]]):
    """Place and cropped pixels of the readable images, in order, read ahead by threads; the others go to `skipped`."""

    def __init__(self, listing: Listing, places: range, size: int, pool: ThreadPoolExecutor, batch: int) -> None:
        self.skipped: list[tuple[str, str]] = []
        self._listing, self._size, self._pool = listing, size, pool
        self._coming = iter(places)
        self._waiting: deque[tuple[int, Future[NDArray[np.uint8]]]] = deque()
        self._submit(AHEAD * batch)

    def __next__(self) -> tuple[int, NDArray[np.uint8]]:
        while self._waiting:
            place, pixels = self._waiting.popleft()
            self._submit(1)
            try:
                return place, pixels.result()
            except DataError as error:
                name = _name(self._listing, place)  # where the folder lies is each host's own
                file = str(self._listing.files[place])
                self.skipped.append((name, str(error).removeprefix(f"{file}: ").replace(file, name)))
        raise StopIteration

    def _submit(self, count: int) -> None:
        for place in islice(self._coming, count):
            self._waiting.append((place, self._pool.submit(read_cropped, self._listing.files[place], self._size)))


def _moments(images: NDArray[np.uint8], encode: Encode, batch: int) -> NDArray[np.float32]:
    """Moments (n, 2, H, W, 2 C) of at most `batch` images; always so many go in, the rest copies, to compile once."""
    pixels = images.astype(np.float32) / np.float32(127.5) - 1
    padded = np.concatenate([pixels, np.repeat(pixels[-1:], batch - len(pixels), axis=0)])
    views = [np.concatenate(encode(view), axis=-1)[: len(pixels)] for view in (padded, padded[:, :, ::-1])]
    return np.stack(views, axis=1).astype(np.float32)


def _name(listing: Listing, place: int) -> str:
    return listing.files[place].relative_to(listing.folder).as_posix()


def _names_sha256(listing: Listing, places: range) -> str:
    return hashlib.sha256("\n".join(_name(listing, place) for place in places).encode()).hexdigest()
