"""Encoding an image folder into latent shards: resumable, shared between hosts, each readable image once.

The autoencoder comes as a function, so nothing here needs JAX; storing is `latent_shards`.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.image_folder import Listing, read_cropped
from dit_grid.experiments.data.latent_shards import (
    Making,
    Manifest,
    ShardRecord,
    read_record,
    write_manifest,
    write_shard,
)

Encode = Callable[[NDArray[np.float32]], tuple[np.ndarray, np.ndarray]]
"""From images (B, S, S, 3) in [-1, 1] to mean and log variance of their latents, (B, H, W, C) each, not scaled."""

CENTER_CROP = "adm center crop"
SHARD_IMAGES = 1024
"""Images of one shard: 64 MB of moments at 32 × 32 × 4 latents."""


def encode_shards(
    listing: Listing,
    making: Making,
    encode: Encode,
    output: Path,
    *,
    batch: int = 16,
    shard_images: int = SHARD_IMAGES,
    host: int = 0,
    hosts: int = 1,
) -> Iterator[ShardRecord]:
    """Encode the shards of this host that are not there yet; yields the record of each, old or new, in order.

    Every image is encoded as it is and flipped, since a flipped latent is not the latent of a flipped image. Whoever
    finishes last calls `finish`. Raises DataError when `output` holds shards of other images or of another making.
    """
    output.mkdir(parents=True, exist_ok=True)
    for index in range(host, shard_count(listing, shard_images), hosts):
        chosen = range(index * shard_images, min((index + 1) * shard_images, len(listing.files)))
        files = [listing.files[i] for i in chosen]
        names_sha256 = _names_sha256(listing, files)
        record = read_record(output, index)
        if record is None:
            kept, images, skipped = _read(listing, files, making.image_size)
            labels = np.array([listing.labels[chosen[i]] for i in kept], np.int32)
            record = write_shard(output, index, _moments(images, encode, batch), labels, making, names_sha256, skipped)
        _check_same(record, making, names_sha256, output)
        yield record


def finish(listing: Listing, output: Path, shard_images: int = SHARD_IMAGES) -> Manifest | None:
    """Write and return the manifest if every host's shards are there, else None."""
    records = [read_record(output, index) for index in range(shard_count(listing, shard_images))]
    shards = tuple(record for record in records if record is not None)
    if len(shards) < len(records):
        return None
    manifest = Manifest(listing.class_names, shards)
    write_manifest(output, manifest)
    return manifest


def shard_count(listing: Listing, shard_images: int = SHARD_IMAGES) -> int:
    """Number of shards that the images of a folder make."""
    return -(-len(listing.files) // shard_images)


def _read(
    listing: Listing, files: list[Path], size: int
) -> tuple[list[int], NDArray[np.uint8], tuple[tuple[str, str], ...]]:
    """Places and pixels of the readable images, and the others with the reason."""
    kept, images, skipped = [], [], []
    for place, file in enumerate(files):
        try:
            images.append(read_cropped(file, size))
            kept.append(place)
        except DataError as error:
            skipped.append((file.relative_to(listing.folder).as_posix(), str(error)))
    if not kept:
        raise DataError(f"{listing.folder}: none of {len(files)} images of a shard can be read, first {files[0]}")
    return kept, np.stack(images), tuple(skipped)


def _moments(images: NDArray[np.uint8], encode: Encode, batch: int) -> NDArray[np.float32]:
    """Moments (n, 2, H, W, 2 C), in batches of one size, the last padded and cut back."""
    found = []
    for start in range(0, len(images), batch):
        pixels = images[start : start + batch].astype(np.float32) / np.float32(127.5) - 1
        padded = np.concatenate([pixels, np.repeat(pixels[-1:], batch - len(pixels), axis=0)])
        views = [np.concatenate(encode(view), axis=-1)[: len(pixels)] for view in (padded, padded[:, :, ::-1])]
        found.append(np.stack(views, axis=1).astype(np.float32))
    return np.concatenate(found)


def _names_sha256(listing: Listing, files: list[Path]) -> str:
    names = "\n".join(file.relative_to(listing.folder).as_posix() for file in files)
    return hashlib.sha256(names.encode()).hexdigest()


def _check_same(record: ShardRecord, making: Making, names_sha256: str, output: Path) -> None:
    differing = [
        f"{name} is {getattr(record.making, name)} there and {getattr(making, name)} now"
        for name in ("image_size", "preparation", "vae_sha256")
        if getattr(record.making, name) != getattr(making, name)
    ]
    if record.files_sha256 != names_sha256:
        differing.append("its images have other names or another order")
    if differing:
        raise DataError(
            f"{output}: shard {record.index} was encoded differently: {'; '.join(differing)}; choose another output"
        )
