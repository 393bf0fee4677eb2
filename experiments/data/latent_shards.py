"""Latents of an image folder: checksummed shards that are written once, whole, and a manifest of them all.

Making latents is `encode`, training on them `latents`. A folder, local or on gs://, holds `encoding.json`, which says
what is being encoded and how; for shard 7 `00007.npy`, `00007.labels.npy` and `00007.json`, which is written last and
makes the shard count; and `manifest.json` once every shard is there.
"""

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.store.files import Files

FORMAT = 1
LATENT_SCALE = 0.18215
"""What diffusion multiplies latents by where a VAE says nothing else (Rombach et al. 2022; every VAE that DiT uses)."""

ENCODING, MANIFEST = "encoding.json", "manifest.json"


@dataclass(frozen=True)
class Making:
    """All that determines the latents of an image: runs on latents of another making are other runs.

    Shards hold latents as the VAE gives them; training multiplies them by `scaling`.
    """

    image_size: int
    preparation: str
    vae_sha256: str
    scaling: float = LATENT_SCALE


@dataclass(frozen=True)
class Encoding:
    """What a folder of shards is made of, the same for every host: `files_sha256` is of all images' names in order."""

    making: Making
    images: int
    files_sha256: str
    class_names: tuple[str, ...]
    shard_images: int

    @property
    def shards(self) -> int:
        """Number of shards that the images make."""
        return -(-self.images // self.shard_images)

    def places(self, index: int) -> range:
        """Which images, by their place in the listing, shard `index` holds."""
        return range(index * self.shard_images, min((index + 1) * self.shard_images, self.images))


@dataclass(frozen=True)
class ShardRecord:
    """What is known of a shard: `files_sha256` is of its images' names, `skipped` names unreadable ones and why."""

    index: int
    images: int
    making: Making
    files_sha256: str
    moments_sha256: str
    labels_sha256: str
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Manifest:
    """The shards of a whole folder, in order, with the classes that labels count."""

    class_names: tuple[str, ...]
    shards: tuple[ShardRecord, ...]
    format: int = FORMAT

    @property
    def making(self) -> Making:
        return self.shards[0].making

    @property
    def images(self) -> int:
        """Images encoded, each as it is and flipped."""
        return sum(shard.images for shard in self.shards)

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Names of the unreadable images, with the reason."""
        return tuple(entry for shard in self.shards for entry in shard.skipped)


def moments_name(index: int) -> str:
    """Name of a shard's array of means and spreads."""
    return f"{index:05}.npy"


def labels_name(index: int) -> str:
    """Name of a shard's array of classes."""
    return f"{index:05}.labels.npy"


def record_name(index: int) -> str:
    """Name of the record that a shard is whole."""
    return f"{index:05}.json"


def moments_path(folder: Path, index: int) -> Path:
    """Where a shard's means and spreads lie in a folder on a disk."""
    return folder / moments_name(index)


def labels_path(folder: Path, index: int) -> Path:
    """Where a shard's classes lie in a folder on a disk."""
    return folder / labels_name(index)


def record_path(folder: Path, index: int) -> Path:
    """Where the record that a shard is whole lies in a folder on a disk."""
    return folder / record_name(index)


def begin(files: Files, encoding: Encoding) -> None:
    """Record what the folder is to hold. Raises DataError, naming what differs, if it holds something else already."""
    files.prepare()
    try:
        files.create(ENCODING, _json(encoding))
    except FileExistsError as error:
        there, now = json.loads(files.read(ENCODING)), json.loads(json.dumps(asdict(encoding)))
        before = {"scaling": LATENT_SCALE} | there.pop("making", {})
        differing = _differences(before, now.pop("making")) + _differences(there, now)
        raise DataError(
            f"{files.root}: holds latents that were encoded differently: {'; '.join(differing)}; choose another output"
        ) from error


def write_shard(
    files: Files,
    index: int,
    moments: NDArray[np.float32],
    labels: NDArray[np.int32],
    making: Making,
    files_sha256: str,
    skipped: tuple[tuple[str, str], ...],
) -> ShardRecord:
    """Write moments (n, 2, H, W, 2 C), plain and flipped image, mean then log variance, and labels (n,)."""
    moments_sha256 = _create(files, moments_name(index), _npy(moments))
    labels_sha256 = _create(files, labels_name(index), _npy(labels))
    record = ShardRecord(index, len(labels), making, files_sha256, moments_sha256, labels_sha256, skipped)
    try:
        files.create(record_name(index), _json(record))
    except FileExistsError:  # another process made the same shard meanwhile; its record is of what lies there
        return _record(json.loads(files.read(record_name(index))))
    return record


def read_shard_record(files: Files, index: int) -> ShardRecord | None:
    """The record of a finished shard, or None."""
    try:
        return _record(json.loads(files.read(record_name(index))))
    except FileNotFoundError:
        return None


def write_manifest(files: Files, manifest: Manifest) -> None:
    """Write the manifest, which makes the folder a dataset. Every host may: they all write the same."""
    files.create(MANIFEST, _json(manifest))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder; raises DataError when there is none, or one of a later format."""
    path = folder / MANIFEST
    if not path.is_file():
        started = len(list(folder.glob("[0-9]*.json")))
        state = (
            f"{started} shards are encoded, not all; run the same `dit-grid encode` again" if started else "no latents"
        )
        raise DataError(f"{folder}: {state}; latents are made by `dit-grid encode FOLDER --vae FILE -o {folder}`")
    return parse_manifest(path.read_bytes(), str(path))


def parse_manifest(data: bytes, source: str) -> Manifest:
    """The manifest that `data` is; raises DataError for one of a later format, and for one that is damaged."""
    try:
        held = json.loads(data)
        if isinstance(held, dict) and isinstance(held.get("format"), int) and held["format"] > FORMAT:
            raise DataError(f"{source}: format {held['format']}; this version reads up to {FORMAT}; update dit-grid")
        manifest = TypeAdapter(Manifest).validate_python(held)
    except (ValidationError, RecursionError, json.JSONDecodeError, UnicodeDecodeError) as error:
        reason = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)[:200]
        raise DataError(f"{source}: not a manifest of latents ({reason}); copy it again or encode again") from error
    shards = [shard.index for shard in manifest.shards if 0 <= shard.index < 100_000 and 0 <= shard.images < 2**31]
    if not manifest.images or not manifest.class_names or shards != list(range(len(manifest.shards))):
        raise DataError(f"{source}: no shards, or not one of each number; copy it again or encode again")
    return manifest


def damaged_shards(folder: Path, manifest: Manifest) -> list[int]:
    """Indices of shards whose files are missing or differ from their checksums; reads everything."""
    return [
        shard.index
        for shard in manifest.shards
        if _hash(moments_path(folder, shard.index)) != shard.moments_sha256
        or _hash(labels_path(folder, shard.index)) != shard.labels_sha256
    ]


def _differences(there: dict, now: dict) -> list[str]:
    return [
        f"{name} is {there.get(name)} there and {value} now" for name, value in now.items() if there.get(name) != value
    ]


def _record(held: dict) -> ShardRecord:
    skipped = tuple((name, reason) for name, reason in held["skipped"])
    return ShardRecord(**{**held, "making": Making(**held["making"]), "skipped": skipped})


def plain(record: Encoding | ShardRecord | Manifest) -> dict[str, Any]:
    """The record as it is written. The usual scale is left out, so records from before there were others are equal."""
    held = asdict(record)
    for part in (held, *held.get("shards", ())):
        if part.get("making", {}).get("scaling") == LATENT_SCALE:
            del part["making"]["scaling"]
    return held


def _json(record: Encoding | ShardRecord | Manifest) -> bytes:
    return json.dumps(plain(record)).encode()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _create(files: Files, name: str, data: bytes) -> str:
    """Make the file and return the SHA-256 of what it holds.

    A file that is there already came whole from an encoder that was killed before it recorded the shard; the folder
    holds one encoding only (`begin`), so it counts, though another kind of device may have rounded it otherwise.
    """
    try:
        files.create(name, data)
    except FileExistsError:
        data = files.read(name)
    return hashlib.sha256(data).hexdigest()


def _hash(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
