"""Reading safetensors files as NumPy arrays, bfloat16 included, which the package gives to NumPy only by chance.

The package checks the header; the numbers are read here, once, and no array is larger than its bytes in the file.
Writing such files is left to the package.
"""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from dit_grid.model.torch_pickle import widened

DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}

DAMAGE = (SafetensorError, OSError, ValueError, TypeError, KeyError, OverflowError)


class SafetensorsFileError(ValueError):
    """A file that is no safetensors file, is damaged, or holds types that are not read here."""


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The named tensors of a file, bfloat16 as float32. Raises SafetensorsFileError."""
    try:
        header, start = _header(path)
        header.pop("__metadata__", None)
        data = np.fromfile(path, np.uint8, offset=start)
        return {name: _tensor(name, entry, data) for name, entry in header.items()}
    except SafetensorsFileError:
        raise
    except DAMAGE as error:
        raise SafetensorsFileError(f"not a readable safetensors file: {str(error)[:200]}") from error


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that a file's writer put into its header. Raises SafetensorsFileError."""
    try:
        return _header(path)[0].get("__metadata__") or {}
    except DAMAGE as error:
        raise SafetensorsFileError(f"not a readable safetensors file: {str(error)[:200]}") from error


def _header(path: Path) -> tuple[dict, int]:
    """The header, which the package has found sound, and where the numbers begin."""
    with safe_open(path, framework="numpy"):
        pass
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length)), 8 + length


def _tensor(name: str, entry: dict, data: np.ndarray) -> np.ndarray:
    if entry["dtype"] not in DTYPES:
        raise SafetensorsFileError(f"{name[:80]} is {entry['dtype']}, which is not read here; save it as float32")
    begin, end = entry["data_offsets"]
    flat = np.frombuffer(data[begin:end].data, DTYPES[entry["dtype"]])
    return (widened(flat) if entry["dtype"] == "BF16" else flat).reshape(entry["shape"])
