"""What the pickle in a PyTorch file may build: containers, tensors as descriptions, inert placeholders for the rest.

Nothing that a file names is imported or called. Where the numbers of a tensor lie is `torch_files` (zip archives) and
`torch_stream` (files of PyTorch before 1.6); which entries are wanted is the caller's.
"""

import argparse
import io
import pickle
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_PICKLE_BYTES = 16 * 2**20
"""Far above the pickle of any DiT checkpoint, optimizer included, which is under 1 MiB."""

MAX_CLASSES = 1000
"""Most unknown classes of one file; training checkpoints name a few dozen. Each costs a kilobyte here."""

DTYPES: dict[str, np.dtype] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype("<u2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
"""How the numbers of a storage lie in a file, by its class in `torch`; `widened` makes floats of bfloat16's bits."""

OTHER_SIZES = {
    "torch.ComplexFloatStorage": 8,
    "torch.ComplexDoubleStorage": 16,
    "torch.QInt8Storage": 1,
    "torch.QUInt8Storage": 1,
    "torch.QInt32Storage": 4,
    "torch.storage.UntypedStorage": 1,
}
"""Bytes of an element of types that are passed over, not read."""

DAMAGE = (
    AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError, OSError, EOFError,
    pickle.UnpicklingError,
)  # fmt: skip
"""What reading random bytes as a zip archive or a pickle raises."""


class TorchFileError(ValueError):
    """A file that is not a readable checkpoint, or that asks for more than tensors."""


@dataclass(frozen=True)
class Storage:
    """A tensor's flat memory: its class in `torch`, its name in the file, and how many elements it holds."""

    kind: str
    key: str
    size: int


@dataclass(frozen=True)
class Tensor:
    """Part of a storage, seen as an array; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Inert:
    """Stands for an object of a class that tensors do not need. It keeps its state as data, and does nothing."""

    __slots__ = ("state",)
    name = "result of a call"

    def __new__(cls, *_: Any, **__: Any) -> "Inert":
        made = object.__new__(cls)
        made.state = None
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *_: Any, **__: Any) -> "Inert":
        return Inert()

    def append(self, _: Any) -> None:
        """What a pickle adds to a list is dropped."""

    extend = add = append

    def __setitem__(self, key: Any, value: Any) -> None:
        """What a pickle adds to a dict is dropped."""


class StateDict(dict):
    """An ordered dict as pickled. The attributes that PyTorch sets on it are dropped, so a file cannot set any."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


class Namespace(argparse.Namespace):
    """A program's arguments. A class of its own, since a pickle may set attributes on whatever it is given."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, Mapping):
            self.__dict__.update({str(name): value for name, value in state.items()})


def load_pickle(data: bytes) -> tuple[Any, dict[str, Storage]]:
    """The object that `data` is a pickle of, and every storage that it refers to, by name.

    Raises TorchFileError and what `DAMAGE` lists.
    """
    _check_memo(data)
    unpickler = _Unpickler(io.BytesIO(data), encoding="utf-8")
    return unpickler.load(), unpickler.storages


def pickle_end(data: bytes, start: int) -> int:
    """Where the pickle that begins at `start` ends. Raises ValueError for bytes that are none."""
    file = io.BytesIO(data)
    file.seek(start)
    for _ in pickletools.genops(file):
        pass
    return file.tell()


def named(thing: Any) -> str:
    """What a thing in a checkpoint is, in words: its own class, or that of the file's which it stands for."""
    kind = thing if isinstance(thing, type) else type(thing)
    return kind.name if issubclass(kind, Inert) else kind.__name__


def view(tensor: Tensor, flat: np.ndarray) -> np.ndarray:
    """The array that a tensor is of its storage's elements, without copying.

    Raises TorchFileError where it reaches outside them, or repeats them: no array is larger than its storage.
    """
    offset, shape, strides = tensor.offset, tensor.shape, tensor.strides
    if len(shape) != len(strides) or min((offset, *shape, *strides), default=0) < 0:
        raise TorchFileError(f"a tensor has shape {shape}, strides {strides} and offset {offset}")
    if 0 in shape:
        return np.empty(shape, flat.dtype)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if last >= flat.size:
        raise TorchFileError(
            f"a tensor of shape {shape} reaches element {last}, outside its storage of {flat.size} elements"
        )
    if np.prod([float(size) for size in shape]) > flat.size:
        raise TorchFileError(f"a tensor of shape {shape} repeats a storage of {flat.size} elements")
    steps = tuple(stride * flat.itemsize if n > 1 else flat.itemsize for n, stride in zip(shape, strides, strict=True))
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False)


def elements(storage: Storage, content: bytes) -> np.ndarray:
    """The elements of a storage whose bytes are `content`, bfloat16 as float32.

    Raises TorchFileError for a type that is not read here and for another number of elements than the pickle says.
    """
    flat = np.frombuffer(content, dtype_of(storage))
    if flat.size != storage.size:
        raise TorchFileError(f"storage {storage.key!r} holds {flat.size} elements instead of {storage.size}")
    return widened(flat) if storage.kind == "BFloat16Storage" else flat


def dtype_of(storage: Storage) -> np.dtype:
    """How a storage's numbers lie in the file. Raises TorchFileError for a type that is not read here."""
    if storage.kind not in DTYPES:
        raise TorchFileError(f"a tensor's numbers are {storage.kind}, which is not read here; save it as float32")
    return DTYPES[storage.kind]


def itemsize(storage: Storage) -> int:
    """Bytes of an element in the file, also of types that are not read here. Raises TorchFileError for unknown ones."""
    return OTHER_SIZES[storage.kind] if storage.kind in OTHER_SIZES else dtype_of(storage).itemsize


def widened(bits: np.ndarray) -> np.ndarray:
    """float32 of the bits of bfloat16, which NumPy lacks; exact."""
    return (bits.astype("<u4") << 16).view("<f4")


def _check_memo(data: bytes) -> None:
    """Refuse a place in the memo that a pickle of this length cannot need: Python makes room for all before it."""
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name.endswith("PUT") and argument is not None and not 0 <= argument <= len(data):
            raise TorchFileError(f"damaged pickle: it numbers an object {argument}")


class _Unpickler(pickle.Unpickler):
    """Maps the names that tensors need to functions of this module, and every other to a class that does nothing."""

    def __init__(self, file: io.BytesIO, encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        self.storages: dict[str, Storage] = {}
        self._unknown: dict[str, type[Inert]] = {}
        self._known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): StateDict,
            ("collections", "defaultdict"): _plain_dict,
            ("argparse", "Namespace"): Namespace,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_tensor_v3"): _tensor_of_new_type,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
            ("torch._tensor", "_rebuild_from_type_v2"): _with_attributes,
            ("builtins", "getattr"): self._attribute,
            ("__builtin__", "getattr"): self._attribute,
            **{("torch", kind): kind for kind in DTYPES},
        }

    def find_class(self, module: str, name: str) -> Any:
        return self._known[module, name] if (module, name) in self._known else self._class(f"{module}.{name}")

    def _class(self, full: str) -> type[Inert]:
        full = full[:200] if full.isprintable() else ascii(full[:200])
        if full not in self._unknown:
            if len(self._unknown) == MAX_CLASSES:
                raise TorchFileError(f"its pickle names more than {MAX_CLASSES} classes")
            self._unknown[full] = type("Inert", (Inert,), {"__slots__": (), "name": full})
        return self._unknown[full]

    def _attribute(self, owner: Any, name: Any, *_: Any) -> type[Inert]:
        """What stands for a nested class or a method; nothing is looked up."""
        return self._class(f"{named(owner)}.{name}")

    def persistent_load(self, pid: Any) -> Storage:
        if not (isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage"):
            raise TorchFileError(f"refused: its pickle refers to {str(pid)[:80]}, which is no storage")
        _, kind, key, _, size, *view_of = pid
        if any(part is not None for part in view_of):
            raise TorchFileError("holds storages that are parts of others, as PyTorch before 0.4 wrote them")
        found = Storage(kind if isinstance(kind, str) else named(kind), str(key), int(size))
        return self.storages.setdefault(found.key, found)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    if not (isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)):
        raise TorchFileError("damaged pickle: a tensor without a storage, a shape or strides")
    if not all(type(number) is int for number in (offset, *shape, *strides)):
        raise TorchFileError("damaged pickle: a tensor whose shape is not of whole numbers")
    return Tensor(storage, offset, shape, strides)


def _tensor_of_new_type(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> Tensor:
    """A tensor of a type that has no storage class, as float8, which comes after two more arguments."""
    found = _tensor(storage, offset, shape, strides)
    return Tensor(Storage(named(more[2]), found.storage.key, found.storage.size), offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _with_attributes(function: Any, _: Any, arguments: Any, *__: Any) -> Any:
    """A tensor to which somebody gave attributes; subclasses of tensors stay what they are, no tensors."""
    if function in (_tensor, _tensor_of_new_type, _parameter) and isinstance(arguments, tuple):
        return function(*arguments)
    return Inert()


def _plain_dict(*_: Any) -> StateDict:
    return StateDict()
