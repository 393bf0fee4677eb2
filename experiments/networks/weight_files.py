"""The project's own weight files: safetensors whose header says what network they hold and which file they came from.

Tensors keep the names and layouts of the published files, so other programs read them too. Which networks there are,
and how one becomes a network, is `published`.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

Kind = Literal["dit", "vae", "inception"]
KEY = "dit_grid"


@dataclass(frozen=True)
class Header:
    """What a weight file holds: the kind of network, its configuration, and the file it was imported from."""

    kind: Kind
    config: dict[str, Any]
    source: str
    source_sha256: str


def read_header(path: Path) -> Header | None:
    """The header of a file of ours, or None for any other file."""
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            held = (file.metadata() or {}).get(KEY)
    except (SafetensorError, OSError):
        return None  # whoever reads its tensors will say what is wrong
    return Header(**json.loads(held)) if held else None


def write_weights(path: Path, tensors: Mapping[str, np.ndarray], header: Header) -> None:
    """Write a weight file whole, or not at all; one that is there already under the name is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        save_file(contiguous, temporary, metadata={KEY: json.dumps(asdict(header), sort_keys=True)})
        temporary.chmod(0o644)  # safetensors writes for the owner alone
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def tensor_faults(expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, np.ndarray]) -> str:
    """What keeps tensors from being those of a network whose names and shapes are `expected`; empty where all fit.

    Lists the missing, the unexpected, those of another shape and those with NaN or infinity, three names of each.
    """
    faults = {
        "missing": [name for name in expected if name not in tensors],
        "unexpected": [name for name in tensors if name not in expected],
        "of another shape": [n for n, shape in expected.items() if n in tensors and tensors[n].shape != shape],
        "not finite": [n for n in expected if n in tensors and not np.isfinite(tensors[n]).all()],
    }
    found = [f"{len(names)} tensors {fault} ({', '.join(names[:3])})" for fault, names in faults.items() if names]
    return "; ".join(found)


def weights_sha256(path: Path) -> str:
    """SHA-256 that names the weights in a file: of the published file it was imported from, or of the file itself."""
    header = read_header(path)
    return header.source_sha256 if header else file_sha256(path)


def file_sha256(path: Path) -> str:
    """SHA-256 in hex of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
