"""Latents of an image folder on disk: checksummed shards that are written once, whole, and a manifest of them all.

Making latents is `encode`, training on them `latents`. A folder holds, for shard 7: `00007.npy`, `00007.labels.npy` and
`00007.json`, which is written last and makes the shard count; and `manifest.json` once every shard is there.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import DataError

FORMAT = 1


@dataclass(frozen=True)
class Making:
    """All that determines the latents of an image: runs on latents of another making are other runs."""

    image_size: int
    preparation: str
    vae_sha256: str


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


def moments_path(folder: Path, index: int) -> Path:
    return folder / f"{index:05}.npy"


def labels_path(folder: Path, index: int) -> Path:
    return folder / f"{index:05}.labels.npy"


def record_path(folder: Path, index: int) -> Path:
    return folder / f"{index:05}.json"


def write_shard(
    folder: Path,
    index: int,
    moments: NDArray[np.float32],
    labels: NDArray[np.int32],
    making: Making,
    files_sha256: str,
    skipped: tuple[tuple[str, str], ...],
) -> ShardRecord:
    """Write moments (n, 2, H, W, 2 C), plain and flipped image, mean then log variance, and labels (n,)."""
    moments_sha256 = _write(moments_path(folder, index), lambda file: np.save(file, moments))
    labels_sha256 = _write(labels_path(folder, index), lambda file: np.save(file, labels))
    record = ShardRecord(index, len(labels), making, files_sha256, moments_sha256, labels_sha256, skipped)
    _write(record_path(folder, index), lambda file: file.write(json.dumps(asdict(record)).encode()))
    return record


def read_record(folder: Path, index: int) -> ShardRecord | None:
    """The record of a finished shard, or None."""
    path = record_path(folder, index)
    return _record(json.loads(path.read_text())) if path.is_file() else None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, which makes the folder a dataset."""
    _write(folder / "manifest.json", lambda file: file.write(json.dumps(asdict(manifest)).encode()))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder; raises DataError when there is none, or one of a later format."""
    path = folder / "manifest.json"
    if not path.is_file():
        started = len(list(folder.glob("*.json")))
        state = (
            f"{started} shards are encoded, not all; run the same `dit-grid encode` again" if started else "no latents"
        )
        raise DataError(f"{folder}: {state}; latents are made by `dit-grid encode FOLDER --vae FILE -o {folder}`")
    held = json.loads(path.read_text())
    if held["format"] > FORMAT:
        raise DataError(f"{path}: format {held['format']}; this version reads up to {FORMAT}; update dit-grid")
    return Manifest(tuple(held["class_names"]), tuple(_record(shard) for shard in held["shards"]), held["format"])


def damaged_shards(folder: Path, manifest: Manifest) -> list[int]:
    """Indices of shards whose files are missing or differ from their checksums; reads everything."""
    return [
        shard.index
        for shard in manifest.shards
        if _hash(moments_path(folder, shard.index)) != shard.moments_sha256
        or _hash(labels_path(folder, shard.index)) != shard.labels_sha256
    ]


def _record(held: dict) -> ShardRecord:
    skipped = tuple((name, reason) for name, reason in held["skipped"])
    return ShardRecord(**{**held, "making": Making(**held["making"]), "skipped": skipped})


def _write(path: Path, fill: Callable[[IO[bytes]], object]) -> str:
    """Write a file under a temporary name, flush it to disk, give it its name; return its SHA-256."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())
    found = _hash(temporary)
    os.replace(temporary, path)
    return str(found)


def _hash(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
