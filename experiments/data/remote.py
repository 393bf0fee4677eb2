"""Files that a user names, on a disk or at gs://: whole ones by a copy on this machine, and pieces of large ones.

The store's own files are `dit_grid.experiments.store`, which holds each in memory; samples may be far larger than that.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.store.errors import StorageError

SCHEME = "gs://"


def is_remote(place: str) -> bool:
    """Whether a place is in a bucket and not on a disk."""
    return place.startswith(SCHEME)


def cache_folder() -> Path:
    """Where copies and precomputed features are kept: $DIT_GRID_CACHE, or the user's cache folder."""
    return Path(os.environ.get("DIT_GRID_CACHE") or user_cache())


def user_cache() -> Path:
    """The user's cache folder for this program; a temporary one, the same each time, where the home takes no files."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "dit-grid"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return Path(tempfile.gettempdir()) / f"dit-grid-cache-{os.getuid()}"


def exists(place: str) -> bool:
    """Whether a file or folder is there. Raises DataError when the bucket does not answer."""
    if not is_remote(place):
        return Path(place).exists()
    with _reported(place):
        return bool(_filesystem().exists(place))


def local_copy(place: str) -> Path:
    """The file on this machine's disk: itself, or for gs:// a copy, made once for each version of the object.

    Raises DataError for a missing object and a bucket that does not answer.
    """
    if not is_remote(place):
        return Path(place)
    with _reported(place):
        info = _filesystem().info(place)
        version = hashlib.sha256(f"{place} {info.get('generation')} {info['size']}".encode()).hexdigest()[:16]
        copy = cache_folder() / "files" / version / Path(place).name
        if not copy.is_file():
            with replacing(copy) as temporary:
                _filesystem().get_file(place, str(temporary))
    return copy


@contextmanager
def opened(place: str) -> Iterator[IO[bytes]]:
    """The file, to be read from any place in it; of one at gs:// only what is read is fetched.

    Raises FileNotFoundError, and DataError when the bucket does not answer.
    """
    if not is_remote(place):
        with open(place, "rb") as file:
            yield file
        return
    with _reported(place, missing_is_an_answer=True), _filesystem().open(place, "rb") as file:
        yield file


@contextmanager
def saved(place: str) -> Iterator[Path]:
    """A file on this machine to write to, which is at `place` once the block ends well: whole, or not at all.

    One that is there already is replaced. Raises DataError when the bucket does not take it.
    """
    if not is_remote(place):
        with replacing(Path(place)) as temporary:
            temporary.chmod(0o644)  # a temporary file is its owner's alone
            yield temporary
        return
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / Path(place).name
        yield temporary
        with _reported(place, doing="written to"):
            _filesystem().put_file(str(temporary), place)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write to, which becomes `path` when the block ends well; of two writers the last wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


class RemoteFolder:
    """A folder on gs://, read only."""

    def __init__(self, place: str) -> None:
        self.place = place.rstrip("/")

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError, and DataError when the bucket does not answer."""
        with _reported(f"{self.place}/{name}", missing_is_an_answer=True):
            return bytes(_filesystem().cat_file(f"{self.place}/{name}"))

    def names(self) -> set[str]:
        """The names of its files; empty for a folder that is not there."""
        with _reported(self.place):
            return {path.rsplit("/", 1)[-1] for path in _filesystem().find(self.place, maxdepth=1)}

    def pieces(self, wanted: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """The bytes of files from a start to an end, for each (name, start, end); asked for all at once."""
        paths = [f"{self.place}/{name}" for name, _, _ in wanted]
        with _reported(self.place):
            found = _filesystem().cat_ranges(paths, [w[1] for w in wanted], [w[2] for w in wanted], on_error="raise")
        return [bytes(piece) for piece in found]


@cache
def _filesystem() -> Any:
    # The class itself and not gcsfs.GCSFileSystem, for the reason that `store.bucket` gives.
    from gcsfs.core import GCSFileSystem

    from dit_grid.experiments.store.credentials import gcs_token

    return GCSFileSystem(token=gcs_token(), use_listings_cache=False, skip_instance_cache=True)


@contextmanager
def _reported(place: str, missing_is_an_answer: bool = False, doing: str = "read from") -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if missing_is_an_answer:
            raise
        what = "no such file" if doing == "read from" else "there is no such bucket"
        raise DataError(f"{place}: {what}") from error
    except (DataError, KeyboardInterrupt):
        raise
    except StorageError as error:  # what is wrong with the credentials
        raise DataError(f"{place}: {error}") from error
    except Exception as error:  # gcsfs raises whatever the layer below raised
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{place}: cannot be {doing} Google Cloud Storage ({reason})") from error
