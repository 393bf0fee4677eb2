"""Reading PyTorch's checkpoints without PyTorch, and without running anything that they contain.

A checkpoint is a zip archive of a pickle and raw storages; only the storages of the tensors that are wanted are read.
What the pickle may build is `torch_pickle`. The stream that PyTorch wrote before 1.6 is read by `torch_stream`; writing
such files, and the tar format before that, are not here.
"""

import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dit_grid.model.torch_pickle import (
    DAMAGE,
    MAX_PICKLE_BYTES,
    Namespace,
    StateDict,
    Storage,
    Tensor,
    TorchFileError,
    dtype_of,
    elements,
    load_pickle,
    view,
)
from dit_grid.model.torch_stream import is_torch_stream, open_torch_stream

__all__ = ["TorchFileError", "read_torch_file"]

MAX_SHARED = 4
"""How often, on average, tensors may show the same numbers: tied weights do, in few places."""

Choose = Callable[[Any], Any]
"""Takes the whole content, tensors as `torch_pickle.Tensor`, and returns what of it is wanted."""


def read_torch_file(path: Path, choose: Choose = lambda content: content) -> Any:
    """What `torch.save` wrote, or what `choose` takes of it, tensors as NumPy arrays; nothing is executed.

    Arrays are read-only views of their storages, so all of them take no more memory than the file, twice that for
    bfloat16. Objects of classes that tensors do not need are `torch_pickle.Inert`. Raises `TorchFileError` for a
    truncated or damaged file, and for tensors that reach outside their storage or repeat it.
    """
    if not path.is_file():
        raise TorchFileError("no such file")
    try:
        if is_torch_stream(path):
            with path.open("rb") as file:
                content, storage = open_torch_stream(file)
                return _with_arrays(choose(content), storage)
        with zipfile.ZipFile(path) as archive:
            content, storage = _open_archive(archive, path.stat().st_size)
            return _with_arrays(choose(content), storage)
    except zipfile.BadZipFile as error:
        raise TorchFileError(f"not a PyTorch zip checkpoint, or truncated ({error})") from error
    except TorchFileError:
        raise
    except DAMAGE as error:
        if type(error).__module__.startswith("dit_grid."):
            raise  # what `choose` found
        raise TorchFileError(f"damaged checkpoint ({type(error).__name__}: {str(error)[:200]})") from error


def _open_archive(archive: zipfile.ZipFile, file_bytes: int) -> tuple[Any, Callable[[Storage], np.ndarray]]:
    """The content, and what reads a storage."""
    pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise TorchFileError(f"holds {len(pickles)} pickles named data.pkl, not one: no PyTorch checkpoint")
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED:
            raise TorchFileError(f"member {member.filename!r} is compressed, which PyTorch never does")
    if sum(member.file_size for member in archive.infolist()) > file_bytes:
        raise TorchFileError("its members claim more bytes than the file has: damaged")
    prefix = pickles[0].removesuffix("data.pkl")
    if archive.getinfo(pickles[0]).file_size > MAX_PICKLE_BYTES:
        raise TorchFileError(f"its pickle is larger than {MAX_PICKLE_BYTES} bytes")
    if f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little":
        raise TorchFileError("was written on a big-endian machine")

    @cache
    def storage(wanted: Storage) -> np.ndarray:
        dtype_of(wanted)
        return elements(wanted, archive.read(f"{prefix}data/{wanted.key}"))

    return load_pickle(archive.read(pickles[0]))[0], storage


def _with_arrays(content: Any, storage: Callable[[Storage], np.ndarray]) -> Any:
    """The content with every tensor as an array; each container is gone through once, however often it is held."""
    made: dict[int, Any] = {}
    storages: dict[str, int] = {}
    seen = 0

    def arrays(thing: Any) -> Any:
        nonlocal seen
        if isinstance(thing, Tensor):
            array = view(thing, storage(thing.storage))
            storages[thing.storage.key] = thing.storage.size
            seen += array.size
            return array
        if not isinstance(thing, Mapping | list | tuple | Namespace):
            return thing
        if id(thing) not in made:
            made[id(thing)] = None  # a container within itself; none of a checkpoint is
            made[id(thing)] = _rebuilt(thing, arrays)
        return made[id(thing)]

    found = arrays(content)
    if seen > MAX_SHARED * sum(storages.values()):
        raise TorchFileError(f"its tensors show the numbers in it more than {MAX_SHARED} times: damaged")
    return found


def _rebuilt(thing: Any, arrays: Choose) -> Any:
    if isinstance(thing, Mapping):
        return StateDict((key, arrays(value)) for key, value in thing.items())
    if isinstance(thing, Namespace):
        return Namespace(**{name: arrays(value) for name, value in vars(thing).items()})
    return type(thing)(arrays(value) for value in thing)
