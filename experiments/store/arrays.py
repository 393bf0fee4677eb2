"""Arrays in `.npz` files that anybody may have made: what a header claims is held against the file.

Nothing is unpickled. What is allocated for an array is no more than the file can hold: its own bytes, or where it is
packed MOST_PACKED times as many, which is the most that deflate can pack. What an array means is its reader's business.
"""

import contextlib
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

MOST_PACKED = 1040
"""How many bytes one packed byte can stand for: deflate's limit is 1032 (zlib's technical notes), and its headers."""

BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, TypeError, KeyError, IndexError,
    NotImplementedError, RuntimeError, OverflowError, MemoryError, RecursionError, SyntaxError, AttributeError,
    tokenize.TokenError,
)  # fmt: skip
"""What zipfile and NumPy raise for a damaged file: of a packing that they do not know, of an encrypted or torn member,
of a header that is no Python literal or nests too deep."""


_END = struct.Struct("<4s4H2LH")
"""The record that ends a zip: signature, disks, members here and in all, size and place of the directory, comment."""


class Arrays:
    """The arrays of an open `.npz` file. Raises ValueError for one that is not as its header claims."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        _check_directory(archive)
        self.names = tuple(name.removesuffix(".npy") for name in archive.namelist())

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def array(self, name: str, kinds: str = "biufc") -> NDArray[Any]:
        """The array, read-only, checked against its checksum; `kinds` are NumPy's letters for what it may hold."""
        with self.opened(name, kinds) as (member, shape, fortran, dtype):
            content = member.read(math.prod(shape) * dtype.itemsize)
            ended(member, content, math.prod(shape) * dtype.itemsize)
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")

    def text(self, name: str) -> str:
        """What a 0-d array of text says."""
        held = self.array(name, kinds="U")
        if held.ndim:
            raise ValueError(f"{name} is text of shape {held.shape}; one text is expected")
        return str(held)

    @contextlib.contextmanager
    def opened(self, name: str, kinds: str = "biufc") -> Iterator[tuple[IO[bytes], tuple[int, ...], bool, np.dtype]]:
        """The array's bytes after its header, with shape, whether in Fortran's order, and type: for large ones."""
        info = self._archive.getinfo(f"{name}.npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is packed by a method that NumPy does not write")
        with self._archive.open(info) as member:
            shape, fortran, dtype = _header(name, member)
            if dtype.kind not in kinds:
                raise ValueError(f"{name} holds {dtype}, which is not read here")
            claimed, held = math.prod(shape) * dtype.itemsize, info.file_size - member.tell()
            if claimed != held or held > MOST_PACKED * (info.compress_size + 1):
                raise ValueError(f"{name} claims {dtype} of shape {shape}, {claimed:,} bytes; the file holds others")
            yield member, shape, fortran, dtype


def ended(member: IO[bytes], content: bytes, wanted: int) -> None:
    """Raise ValueError unless so many bytes were read and the member ends there, where its checksum is compared."""
    if len(content) != wanted or member.read(1):
        raise ValueError("an array ends early")


@contextlib.contextmanager
def opened_arrays(file: Any, name: str, error: type[ValueError]) -> Iterator[Arrays]:
    """The arrays of a path or open file called `name`; `error` with one line for whatever is wrong while they are read.

    What raises `error` itself, or another error for users, passes.
    """
    if bare := _is_bare(file):
        raise error(f"{name}: {bare}; numpy.savez writes the .npz that is expected")
    try:
        with zipfile.ZipFile(file) as archive:
            yield Arrays(archive)
    except BROKEN as wrong:
        if type(wrong).__module__.startswith("dit_grid."):
            raise
        reason = " ".join(str(wrong).split())[:200] or type(wrong).__name__
        raise error(f"{name}: not a complete .npz file ({reason})") from wrong


def _check_directory(archive: zipfile.ZipFile) -> None:
    """Raise unless all members are there, each under its name in both places: a lost one would only seem absent."""
    for info in archive.infolist():
        archive.open(info).close()
    assert archive.fp is not None, "it is open"
    archive.fp.seek(-_END.size, os.SEEK_END)
    signature, *_, count, _, _, comment = _END.unpack(archive.fp.read(_END.size))
    if signature == b"PK\5\6" and not comment and count not in (len(archive.infolist()), 0xFFFF):
        raise zipfile.BadZipFile(f"its directory lists {len(archive.infolist())} of {count} arrays")


def _is_bare(file: Any) -> str:
    """What a path is that no `.npz` is, where that can be told."""
    with contextlib.suppress(OSError, TypeError):
        if os.path.isdir(file):
            return "a folder"
        with open(file, "rb") as stream:
            return "an .npy, one bare array" if stream.read(6) == npy.MAGIC_PREFIX else ""
    return ""


def _header(name: str, member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(member)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"{name} has a header of version {version}")
    shape, fortran, dtype = read(member)
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise ValueError(f"{name} claims the shape {shape}")
    return shape, fortran, dtype
