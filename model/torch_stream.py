"""The format that PyTorch wrote before 1.6: pickles one after another, then the storages. The published FID network is
such a file.

`torch_files` reads today's zip checkpoints, and hands it these; what the pickles may build is `torch_pickle`.
"""

import os
import pickle
import struct
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from dit_grid.model.torch_pickle import (
    MAX_PICKLE_BYTES,
    Storage,
    TorchFileError,
    dtype_of,
    elements,
    itemsize,
    load_pickle,
    pickle_end,
)

MAGIC = 0x1950A86A20F9469CFC6C
"""The number that such a file begins with, itself a pickle."""

PROTOCOL = 1001
COUNT = struct.Struct("<q")
"""Precedes the bytes of each storage: its number of elements."""


def is_torch_stream(path: Path) -> bool:
    """Whether a file begins as these do."""
    with path.open("rb") as file:
        return file.read(16).startswith(pickle.dumps(MAGIC, protocol=2)[:-1])


def open_torch_stream(file: IO[bytes]) -> tuple[Any, Callable[[Storage], np.ndarray]]:
    """The content, tensors as descriptions, and what reads a storage of the open file.

    Where every storage lies is checked against the file's size before one is read. Raises TorchFileError and what
    `torch_pickle.DAMAGE` lists.
    """
    head, at, parts = file.read(MAX_PICKLE_BYTES), 0, []
    for _ in range(5):  # magic number, protocol, machine, content, names of the storages
        end = pickle_end(head, at)
        parts.append(load_pickle(head[at:end]))
        at = end
    (magic, _), (protocol, _), (machine, _), (content, storages), (keys, _) = parts
    if (magic, protocol) != (MAGIC, PROTOCOL):
        raise TorchFileError("does not begin as PyTorch's files before 1.6 do")
    if isinstance(machine, Mapping) and machine.get("little_endian") is False:
        raise TorchFileError("was written on a big-endian machine")
    places = _places(file, at, keys, storages)

    @cache
    def storage(wanted: Storage) -> np.ndarray:
        dtype_of(wanted)
        start, size = places[wanted.key]
        file.seek(start)
        return elements(wanted, file.read(size))

    return content, storage


def _places(file: IO[bytes], at: int, keys: Any, storages: Mapping[str, Storage]) -> dict[str, tuple[int, int]]:
    """Where each storage's bytes begin, and how many there are."""
    end = file.seek(0, os.SEEK_END)
    places: dict[str, tuple[int, int]] = {}
    if not isinstance(keys, list):
        raise TorchFileError("damaged checkpoint: no list of storages")
    for key in map(str, keys):
        if key not in storages:
            raise TorchFileError(f"damaged checkpoint: it lists a storage {key[:80]!r} that no tensor lies in")
        if end - at < COUNT.size:
            raise TorchFileError(f"damaged or truncated: it ends before storage {key[:80]!r}")
        file.seek(at)
        (count,) = COUNT.unpack(file.read(COUNT.size))
        size = count * itemsize(storages[key])
        at += COUNT.size
        if count < 0 or size > end - at:
            raise TorchFileError(
                f"damaged or truncated: storage {key[:80]!r} of {count} elements, {end - at} bytes left"
            )
        places[key] = at, size
        at += size
    return places
