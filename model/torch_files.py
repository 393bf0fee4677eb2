"""Reading PyTorch's checkpoints without PyTorch, and without running anything that they contain.

A checkpoint is a zip archive of a pickle and raw storages. The pickle is read by an unpickler that knows the few names
that tensors need and refuses every other. The stream that PyTorch wrote before 1.6 is read by `torch_stream`; writing
such files, and the tar format before that, are not here.
"""

import argparse
import collections
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dit_grid.model.torch_stream import TorchStreamError, is_torch_stream, read_torch_stream

MAX_PICKLE_BYTES = 64 * 2**20
"""Far above the pickle of any DiT checkpoint, optimizer included, which is under 1 MiB."""

DTYPES: dict[str, np.dtype] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
"""Storage classes of `torch` by name; bfloat16, which NumPy lacks, is widened to float32."""


DAMAGE = (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError, OSError)
"""What reading random bytes as a zip archive or a pickle raises."""


class TorchFileError(ValueError):
    """A file that is not a readable checkpoint, or that asks for more than tensors."""


class Storage(NamedTuple):
    """A tensor's flat memory, read on use."""

    kind: str
    name: str
    size: int


def read_torch_file(path: Path) -> Any:
    """The object that `torch.save` wrote, tensors as NumPy arrays, `argparse.Namespace` kept; nothing is executed.

    Raises `TorchFileError` for a truncated or damaged file, for any pickled name but those of tensors and plain
    containers, and for tensors that reach outside their storage.
    """
    if not path.is_file():
        raise TorchFileError("no such file")
    try:
        if is_torch_stream(path):
            return read_torch_stream(path)
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive)
    except zipfile.BadZipFile as error:
        raise TorchFileError(f"not a PyTorch zip checkpoint, or truncated ({error})") from error
    except (pickle.UnpicklingError, EOFError) as error:
        raise TorchFileError(str(error)) from error
    except TorchFileError:
        raise
    except TorchStreamError as error:
        raise TorchFileError(str(error).removeprefix(f"{path}: ")) from error
    except DAMAGE as error:
        raise TorchFileError(f"damaged checkpoint ({type(error).__name__}: {error})") from error


def _read_archive(archive: zipfile.ZipFile) -> Any:
    pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise TorchFileError(f"holds {len(pickles)} pickles named data.pkl, not one: no PyTorch checkpoint")
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED:
            raise TorchFileError(f"member {member.filename!r} is compressed, which PyTorch never does")
    prefix = pickles[0].removesuffix("data.pkl")
    if archive.getinfo(pickles[0]).file_size > MAX_PICKLE_BYTES:
        raise TorchFileError(f"its pickle is larger than {MAX_PICKLE_BYTES} bytes")
    if f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little":
        raise TorchFileError("was written on a big-endian machine")
    with archive.open(pickles[0]) as file:
        return _Unpickler(file, archive, prefix).load()


class _Unpickler(pickle.Unpickler):
    """Maps the names that checkpoints use to functions of this module, and refuses all others."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, prefix: str) -> None:
        super().__init__(file, encoding="utf-8")
        self._archive, self._prefix = archive, prefix
        self._storages: dict[str, np.ndarray] = {}
        self._known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("collections", "defaultdict"): _plain_dict,
            # A class of its own, since a pickle may set attributes on whatever it is given.
            ("argparse", "Namespace"): type("Namespace", (argparse.Namespace,), {}),
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch", "BFloat16Storage"): "BFloat16Storage",
            **{("torch", kind): kind for kind in DTYPES},
        }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._known[module, name]
        except KeyError:
            raise TorchFileError(f"refused: its pickle asks for {module}.{name}, which is no tensor") from None

    def persistent_load(self, pid: Any) -> Storage:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise TorchFileError(f"refused: its pickle refers to {pid!r}, which is no storage")
        _, kind, name, _, size = pid
        return Storage(str(kind), str(name), int(size))

    def _tensor(self, storage: Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> np.ndarray:
        flat = self._storage(storage)
        if len(shape) != len(strides) or min((offset, *shape, *strides), default=0) < 0:
            raise TorchFileError(f"a tensor has shape {shape}, strides {strides} and offset {offset}")
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if 0 in shape:
            return np.empty(shape, flat.dtype)
        if last >= flat.size:
            raise TorchFileError(f"a tensor of shape {shape} reaches element {last} of a storage of {flat.size}")
        if np.prod([float(size) for size in shape]) > flat.size:
            raise TorchFileError(f"a tensor of shape {shape} repeats a storage of {flat.size} elements")
        steps = tuple(stride * flat.itemsize for stride in strides)
        return np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False)

    def _storage(self, storage: Storage) -> np.ndarray:
        if storage.name in self._storages:
            return self._storages[storage.name]
        content = self._archive.read(f"{self._prefix}data/{storage.name}")
        if storage.kind == "BFloat16Storage":
            flat = (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4")
        else:
            flat = np.frombuffer(content, DTYPES[storage.kind])
        if flat.size != storage.size:
            raise TorchFileError(f"storage {storage.name!r} holds {flat.size} elements instead of {storage.size}")
        self._storages[storage.name] = flat
        return flat


def _parameter(tensor: np.ndarray, *_: Any) -> np.ndarray:
    return tensor


def _plain_dict(*_: Callable) -> dict:
    return {}
