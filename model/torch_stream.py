"""Reading a state dict in the format that PyTorch wrote before 1.6, without PyTorch and without running its content.

The published FID network is such a file. `torch_files` reads today's zip checkpoints, and hands it these.
"""

import collections
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
"""The number that such a file begins with, itself a pickle."""

PROTOCOL = 1001
DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


class TorchStreamError(ValueError):
    """A file that is not such a state dict, is damaged, or asks for more than tensors."""


class Tensor(NamedTuple):
    """Where a tensor lies in a storage; numbers of elements."""

    storage: str
    kind: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def is_torch_stream(path: Path) -> bool:
    """Whether a file begins as these do."""
    with path.open("rb") as file:
        return file.read(16).startswith(pickle.dumps(MAGIC, protocol=2)[:-1])


def read_torch_stream(path: Path) -> dict[str, np.ndarray]:
    """The named tensors of a state dict. Raises TorchStreamError, naming what was found, for anything else."""
    with path.open("rb") as file:
        try:
            if (_load(file), _load(file)) != (MAGIC, PROTOCOL):
                raise TorchStreamError("does not begin as PyTorch's files before 1.6 do")
            _load(file)  # sizes of C types on the machine that wrote it
            tensors = _load(file)
            if not isinstance(tensors, Mapping) or not all(isinstance(t, Tensor) for t in tensors.values()):
                raise TorchStreamError(f"holds a {type(tensors).__name__}, not a state dict of named tensors")
            sizes = {tensor.storage: np.dtype(DTYPES[tensor.kind]).itemsize for tensor in tensors.values()}
            storages = {key: _read_storage(file, sizes[key]) for key in _load(file)}
            return {name: _tensor(tensor, storages[tensor.storage]) for name, tensor in tensors.items()}
        except TorchStreamError as error:
            raise TorchStreamError(f"{path}: {error}") from error
        except (pickle.UnpicklingError, EOFError, struct.error, LookupError, TypeError, ValueError) as error:
            raise TorchStreamError(f"{path}: damaged or truncated ({type(error).__name__}: {error})") from error


class _Unpickler(pickle.Unpickler):
    """Knows tensors, their storages and ordered dicts; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _describe
        if module == "torch" and name in DTYPES:
            return name
        raise TorchStreamError(f"refused: its pickle asks for {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> Any:
        tag, kind, key, *_ = pid
        if tag != "storage" or kind not in DTYPES:
            raise TorchStreamError(f"refused: its pickle refers to {pid!r}, which is no storage")
        return str(key), str(kind)


def _describe(
    storage: tuple[str, str], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> Tensor:
    return Tensor(*storage, offset, tuple(shape), tuple(strides))


def _load(file: IO[bytes]) -> Any:
    return _Unpickler(file).load()


def _read_storage(file: IO[bytes], itemsize: int) -> bytes:
    (elements,) = struct.unpack("<q", file.read(8))
    content = file.read(elements * itemsize)
    if len(content) != elements * itemsize:
        raise EOFError(f"{len(content)} bytes of a storage of {elements * itemsize}")
    return content


def _tensor(tensor: Tensor, storage: bytes) -> np.ndarray:
    flat = np.frombuffer(storage, DTYPES[tensor.kind])
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or last >= max(flat.size, 1):
        raise TorchStreamError(f"a tensor of shape {tensor.shape} reaches outside its storage of {flat.size} elements")
    steps = tuple(step * flat.itemsize for step in tensor.strides)
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps, writeable=False).copy()
