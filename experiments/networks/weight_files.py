"""The project's own weight files: safetensors whose header says what network they hold and which file they came from.

Tensors keep the names and layouts of the published files, so other programs read them too. Which networks there are,
and how one becomes a network, is `published`.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from safetensors.numpy import save_file

from dit_grid.model.safetensors_files import SafetensorsFileError, read_metadata

Kind = Literal["dit", "vae", "inception"]
KEY = "dit_grid"


SHA256 = re.compile("[0-9a-f]{64}")


class WeightFileError(ValueError):
    """A file of ours whose header is damaged or was written by something else; the message says what is wrong."""


@dataclass(frozen=True)
class Header:
    """What a weight file holds: the kind of network, its configuration, and the file it was imported from.

    `source` and its hash are what whoever wrote the header says; nothing is named after them. `objective` is what that
    file said of what the network predicts (`objectives`).
    """

    kind: Kind
    config: dict[str, Any]
    source: str
    source_sha256: str
    objective: dict[str, Any] = field(default_factory=dict)


def read_header(path: Path) -> Header | None:
    """The header of a file of ours, or None for any other file. Raises WeightFileError for one that cannot be ours."""
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        held = read_metadata(path).get(KEY)
    except SafetensorsFileError:
        return None  # whoever reads its tensors will say what is wrong
    return None if held is None else _header(path, held)


def _header(path: Path, held: str) -> Header:
    try:
        said = json.loads(held)
    except (ValueError, RecursionError) as error:
        raise WeightFileError(
            f"{path}: its header is not JSON ({str(error)[:80]}); import the published file"
        ) from error
    fields, types = set(Header.__dataclass_fields__), {"config": dict, "source": str, "objective": dict}
    if not isinstance(said, dict) or not fields - {"objective"} <= set(said) <= fields:
        raise WeightFileError(f"{path}: its header lacks fields or has others; import the published file")
    wrong = [name for name, kind in types.items() if not isinstance(said.get(name, {}), kind)]
    wrong += [] if str(said["source"]).isprintable() else ["source"]
    if wrong or said["kind"] not in get_args(Kind) or not SHA256.fullmatch(str(said["source_sha256"])):
        raise WeightFileError(
            f"{path}: its header is damaged ({', '.join(wrong) or 'kind or hash'}): kind {ascii(said['kind'])[:40]}, "
            f"source_sha256 {ascii(said['source_sha256'])[:80]}; import the published file"
        )
    return Header(**said)


def write_weights(path: Path, tensors: Mapping[str, np.ndarray], header: Header) -> None:
    """Write a weight file whole, or not at all; one that is there already under the name is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        save_file(contiguous, temporary, metadata={KEY: _text(header)})
        temporary.chmod(0o644)  # safetensors writes for the owner alone
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _text(header: Header) -> str:
    """The header as written; one that states no objective is as it was before there were any."""
    return json.dumps(
        {name: held for name, held in asdict(header).items() if name != "objective" or held}, sort_keys=True
    )


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


def file_sha256(path: Path) -> str:
    """SHA-256 in hex of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
