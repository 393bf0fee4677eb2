"""A store's files on a POSIX disk: created by hard link, so that a name appears once, with all its bytes, or never.

`os.replace` would overwrite in silence, and writing to the final name shows torn files; neither is used.
"""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dit_grid.experiments.store.digests import SHA256, algorithm_of, digest_of
from dit_grid.experiments.store.errors import StorageError
from dit_grid.experiments.store.paths import FORMAT

_TEMPORARY = ".tmp-"
_TRIES = 5
_AT_ONCE = 4
_PIECE_BYTES = 1 << 20
_REASONS = {
    errno.ENOSPC: "the disk is full: free space, then repeat (everything committed so far is intact)",
    errno.EDQUOT: "the disk quota is used up: free space, then repeat (everything committed so far is intact)",
    errno.EFBIG: "the file size limit is reached: raise it (ulimit -f), then repeat",
    errno.EROFS: "the file system is read-only: choose another store or remount it",
    errno.EACCES: "permission denied: the store is read-only for this user",
    errno.EPERM: "not permitted: the store is read-only, or its file system has no hard links",
    errno.ENOTSUP: "the file system has no hard links: put the store on a POSIX disk or on gs://",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "a folder stands where a file is expected",
    errno.ENAMETOOLONG: "the name is too long for this file system",
}


@contextlib.contextmanager
def _reported(doing: str, path: Path | str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        raise StorageError(f"cannot {doing} {path}: {reason_of(error)}") from error


def reason_of(error: OSError) -> str:
    """Return what the system says is wrong, with what mends it where that is known."""
    return _REASONS.get(error.errno or 0, os.strerror(error.errno) if error.errno else str(error))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


class LocalFiles:
    """`Files` below a local folder; see the interface for the contract of each method."""

    def __init__(self, root: str) -> None:
        self._root = Path(root).expanduser().absolute()
        self.root = str(self._root)
        self._known: tuple[int, int] | None = None
        self._format: bytes | None = None
        with contextlib.suppress(StorageError):  # there may be none yet
            self._check_root()

    def prepare(self) -> None:
        try:
            with _reported("make the folder", self._root):
                self._root.mkdir(parents=True, exist_ok=True)
                self._check_root()
        except (FileExistsError, FileNotFoundError) as error:
            reason = "a file stands there" if isinstance(error, FileExistsError) else "the path cannot be made"
            raise StorageError(f"cannot make the folder {self._root}: {reason}; choose another path") from error

    def _check_root(self) -> None:
        """Raise StorageError unless the root is the folder that this process has known from its first look.

        One that is gone may be a disk that is not mounted, and one in its place (its mount point, or a folder that
        somebody made) another store: what is written there would be lost when the disk is back.
        """
        try:
            found = os.stat(self._root)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StorageError(f"cannot use {self._root}: the store's folder is gone; is its disk mounted?") from error
        identity = found.st_dev, found.st_ino
        if identity == self._known:
            return
        content = self._format_record()
        if self._known is not None and (content is None or content != self._format):
            raise StorageError(
                f"cannot use {self._root}: another folder stands in the store's place; is its disk mounted?"
            )
        self._known, self._format = identity, content

    def _format_record(self) -> bytes | None:
        """What names the store that lies at the root, None while there is none."""
        try:
            return (self._root / FORMAT).read_bytes()
        except OSError:  # not there, or not to be read, which whoever needs it will say
            return None

    def create(self, name: str, data: bytes) -> None:
        path = self._root / name
        with _reported("write", path):
            self._check_root()
        if name == FORMAT:
            self._format = data
        for _ in range(_TRIES):
            # A clean-up whose clock is far ahead may take the temporary file for one that was left behind.
            with _reported("write", path), contextlib.suppress(FileNotFoundError):
                self._make_folder(path.parent)
                self._create(path, data)
                return
        raise StorageError(f"cannot write {path}: its folder or its temporary file is deleted again and again")

    def _create(self, path: Path, data: bytes) -> None:
        temporary = path.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            _write_durably(temporary, data)
            os.link(temporary, path)
        except FileExistsError:
            if path.read_bytes() != data:
                raise
        finally:
            # A failed write must not be hidden by a failed clean-up; gc finds what stays.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def _make_folder(self, folder: Path) -> None:
        """Folders below the root, each made durable; never the root, which may be a disk that is not mounted."""
        if folder.is_dir():
            return
        if folder == self._root:
            self._check_root()
            return
        self._make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
        _sync_folder(folder.parent)

    def read(self, name: str) -> bytes:
        path = f"{self.root}/{name}"  # thousands are read in a row: neither a Path nor a buffer is made for each
        try:
            with _reported("read", path), open(path, "rb", buffering=0) as file:
                return file.read()
        except FileNotFoundError:
            self._missed()
            raise

    def _missed(self) -> None:
        """Something is not there: it is the store that went away, if this process knew one. Raises StorageError."""
        if self._known is not None:
            self._check_root()

    def read_many(self, names: Sequence[str]) -> list[bytes]:
        return [self.read(name) for name in names]

    def walk(self, folder: str, prefix: str = "") -> list[str]:
        start = f"{folder}/{prefix}"
        with _reported("list", self._root / folder):
            return [name for name in self._entries(folder) if name.startswith(start) and "/." not in name]

    def sizes(self, folder: str) -> dict[str, int]:
        found = {}
        with _reported("list", self._root / folder):
            for name in self._entries(folder):
                with contextlib.suppress(FileNotFoundError):
                    found[name] = os.stat(self._root / name).st_size
        return found

    def digests(self, folder: str, like: Mapping[str, str]) -> dict[str, str]:
        names = sorted(self.sizes(folder))
        with ThreadPoolExecutor(_AT_ONCE) as pool:  # hashing lets other threads run
            found = pool.map(lambda name: self._digest(name, algorithm_of(like.get(name, "")) or SHA256), names)
            return dict(zip(names, found, strict=True))

    def _digest(self, name: str, algorithm: str) -> str:
        with _reported("read", self._root / name), open(self._root / name, "rb", buffering=0) as file:
            return digest_of(iter(lambda: file.read(_PIECE_BYTES), b""), algorithm)

    def leftovers(self) -> Iterator[str]:
        for folder in ("runs", "train", "evals", "events", "attempts", "checkpoints", "samples", ""):
            for name in self._entries(folder, deep=folder != ""):
                if name.rpartition("/")[2].startswith(_TEMPORARY):
                    yield name

    def modified(self, name: str) -> float:
        with _reported("read", self._root / name):
            return os.stat(self._root / name).st_mtime

    def _entries(self, folder: str, deep: bool = True, within: tuple[str, ...] = ()) -> Iterator[str]:
        """Every file below, through links too: a run's folder may lie on another disk. `within` ends their loops."""
        try:
            with os.scandir(self._root / folder) as entries:
                # Pipes and sockets would block a reader for ever.
                found = [(e.name, e.is_dir(), e.is_symlink()) for e in entries if e.is_file() or e.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            self._missed()
            return
        for name, is_folder, is_link in found:
            below = f"{folder}/{name}" if folder else name
            if not is_folder:
                yield below
            elif deep and not is_link:
                yield from self._entries(below, within=within)
            elif deep and (inside := self._entered(below, within)):
                yield from self._entries(below, within=inside)

    def _entered(self, link: str, within: tuple[str, ...]) -> tuple[str, ...]:
        """The folders that links led to, with this one; nothing if it leads back to a folder that we are in."""
        path = self._root / link
        target = os.path.realpath(path)
        inside = (*within, os.path.realpath(path.parent))
        leads_back = any(f"{place}/".startswith(f"{target.rstrip('/')}/") for place in inside)
        return () if leads_back else (*within, target)

    def delete(self, name: str) -> None:
        path = self._root / name
        with _reported("delete", path):
            path.unlink(missing_ok=True)

    def make_folder(self, folder: str) -> None:
        """Make a folder below the root; never the root. Raises StorageError."""
        with _reported("write", self._root / folder):
            self._check_root()
            self._make_folder(self._root / folder)

    def delete_folder(self, folder: str) -> None:
        path = self._root / folder
        with _reported("delete", path), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)
