"""Writes what `torch.save` writes, today's archive and the stream before 1.6, without torch, opcode for opcode.

`tests/golden/torch_save_*.pt` are from torch itself, for what the two readers are held against.
"""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile
from typing import Any
from unittest import mock

import numpy as np

KINDS = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage", "uint16": "BFloat16Storage"}
"""Storage classes by NumPy's types; uint16 holds the bits of bfloat16."""


def torch_bytes(content: Any, stream: bool = False) -> bytes:
    """A file that holds `content`, NumPy arrays as tensors, each in a storage of its own."""
    return _stream(content) if stream else _archive(content)


def bfloat16_bits(array: np.ndarray) -> np.ndarray:
    """The upper halves of float32 numbers, to the nearest, as torch rounds them."""
    bits = array.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


class _Pickler(pickle.Pickler):
    """Names things of torch without importing it."""

    def __init__(self, file: io.BytesIO, torch: types.SimpleNamespace, stream: bool) -> None:
        super().__init__(file, protocol=2)
        self.storages: list[np.ndarray] = []
        self._torch, self._stream = torch, stream

    def persistent_id(self, thing: Any) -> Any:
        if not isinstance(thing, _Storage):
            return None
        self.storages.append(thing.flat)
        kind = getattr(self._torch.module, KINDS[str(thing.flat.dtype)])
        more = (None,) if self._stream else ()
        return ("storage", kind, str(len(self.storages) - 1), "cpu", thing.flat.size, *more)

    def reducer_override(self, thing: Any) -> Any:
        if not isinstance(thing, np.ndarray):
            return NotImplemented
        strides = tuple(step // thing.itemsize for step in thing.strides)
        storage = _Storage(thing.ravel(order="K"))
        return self._torch.rebuild, (storage, 0, thing.shape, strides, False, collections.OrderedDict())


class _Storage:
    def __init__(self, flat: np.ndarray) -> None:
        self.flat = flat


def _pickled(things: list[Any], stream: bool) -> tuple[bytes, list[np.ndarray]]:
    """The pickles one after another, and the storages that they refer to."""
    torch, inner = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in KINDS.values():
        setattr(torch, kind, type(kind, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2() -> None:
        raise AssertionError("only its name is used")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    inner.__dict__["_rebuild_tensor_v2"] = _rebuild_tensor_v2
    parts, storages = [], []
    with mock.patch.dict(sys.modules, {"torch": torch, "torch._utils": inner}):
        for thing in things:
            file = io.BytesIO()
            pickler = _Pickler(file, types.SimpleNamespace(module=torch, rebuild=_rebuild_tensor_v2), stream)
            pickler.dump(thing)
            parts.append(file.getvalue())
            storages += pickler.storages
    return b"".join(parts), storages


def _archive(content: Any) -> bytes:
    pickled, storages = _pickled([content], stream=False)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for key, flat in enumerate(storages):
            archive.writestr(f"archive/data/{key}", flat.tobytes())
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def _stream(content: Any) -> bytes:
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head, storages = _pickled([0x1950A86A20F9469CFC6C, 1001, machine, content], stream=True)
    keys, _ = _pickled([[str(key) for key in range(len(storages))]], stream=True)
    return head + keys + b"".join(struct.pack("<q", flat.size) + flat.tobytes() for flat in storages)
