"""A store's files in Google Cloud Storage: one PUT a file, with the precondition that nothing has its name yet.

Files are whole in memory before the PUT. gcsfs's open-for-writing is not used: an exception inside its `with` block
publishes what was written so far under the final name. Nothing is cached: every listing asks the bucket.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import google.auth.exceptions
import requests

# Checkpoints reach the same bucket through tensorstore and gcsfs's own class, which learn of an emulator otherwise.
if _EMULATOR := os.environ.get("STORAGE_EMULATOR_HOST"):
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # read when gcsfs is imported
    os.environ.setdefault("TENSORSTORE_GCS_HTTP_URL", _EMULATOR)
    os.environ.setdefault("GOOGLE_AUTH_TOKEN_FOR_TESTING", "none")

# Not gcsfs.GCSFileSystem: that is a class which first probes every bucket for being zonal, by gRPC, and so takes half a
# minute an operation against an emulator. GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT would turn it off only before the import.
from gcsfs.core import GCSFileSystem
from gcsfs.retry import ChecksumError, HttpError

from dit_grid.experiments.store.credentials import gcs_token
from dit_grid.experiments.store.digests import CRC32C, MD5, SHA256, algorithm_of, digest_of
from dit_grid.experiments.store.errors import StorageError, StoreError

# gcsfs logs a traceback of every error that it raises, which Python prints where nobody set up logging.
logging.getLogger("gcsfs").addHandler(logging.NullHandler())

_TIMEOUT_S = 60.0
_TRIES = 3
_AT_ONCE = 16
_UNREACHABLE = (
    TimeoutError,
    aiohttp.ClientError,
    requests.RequestException,
    google.auth.exceptions.TransportError,
    ChecksumError,
)


class BucketFiles:
    """`Files` below gs://bucket/path; see the interface for the contract of each method.

    gcsfs repeats requests that fail with 429, 5xx or a lost connection, six times over about a minute.
    """

    def __init__(self, root: str, timeout_s: float = _TIMEOUT_S) -> None:
        self._prefix = root.removeprefix("gs://").rstrip("/")
        self.root = f"gs://{self._prefix}"
        if not self._prefix or self._prefix.startswith("/"):
            raise StoreError(f"store {root!r}: give a bucket, as in gs://bucket/path")
        self._bucket = self._prefix.partition("/")[0]
        with self._reported("open", self.root):
            self._remote = GCSFileSystem(
                token=gcs_token(),
                requests_timeout=aiohttp.ClientTimeout(total=timeout_s),
                use_listings_cache=False,
                skip_instance_cache=True,
            )

    def _path(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    @contextlib.contextmanager
    def _reported(self, doing: str, what: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, FileExistsError):
            raise
        except _UNREACHABLE as error:
            raise StorageError(
                f"cannot {doing} {what}: Google Cloud Storage did not answer ({_line(error)})"
            ) from error
        except (google.auth.exceptions.GoogleAuthError, HttpError, OSError, ValueError) as error:
            if isinstance(error, StoreError):
                raise
            raise StorageError(f"cannot {doing} {what}: {_reason(error)}") from error

    def prepare(self) -> None:
        pass

    def create(self, name: str, data: bytes) -> None:
        with self._reported("write", f"{self.root}/{name}"):
            try:
                self._put(name, data)
            except FileExistsError:
                # Somebody else's file, or our own from a try whose answer was lost: the content tells.
                if self.read(name) != data:
                    raise
            except FileNotFoundError as error:
                raise self._no_bucket() from error

    def _put(self, name: str, data: bytes) -> None:
        """One create-only PUT, repeated after a time-out, which gcsfs does not do by itself."""
        for tries_left in reversed(range(_TRIES)):
            try:
                self._remote.pipe_file(self._path(name), data, mode="create")
                return
            except TimeoutError:
                if not tries_left:
                    raise

    def _no_bucket(self) -> StorageError:
        return StorageError(
            f"{self.root}: there is no bucket {self._bucket!r}; make it (gcloud storage buckets create "
            f"gs://{self._bucket}) or correct the name"
        )

    def read(self, name: str) -> bytes:
        return self.read_many([name])[0]

    def read_many(self, names: Sequence[str]) -> list[bytes]:
        if not names:
            return []
        paths = [self._path(name) for name in names]
        with self._reported("read", f"{self.root}/{names[0]}"):
            found = self._remote.cat(paths)
        return [found[path] for path in paths]

    def walk(self, folder: str, prefix: str = "") -> list[str]:
        with self._reported("list", f"{self.root}/{folder}"):
            try:
                paths = self._remote.find(self._path(folder), prefix=prefix)
            except FileNotFoundError as error:
                raise self._no_bucket() from error
        start = f"{folder}/{prefix}"
        names = [path.removeprefix(f"{self._prefix}/") for path in paths]
        return [name for name in names if name.startswith(start) and "/." not in name]

    def sizes(self, folder: str) -> dict[str, int]:
        with self._reported("list", f"{self.root}/{folder}"):
            try:
                found = self._remote.find(self._path(folder), detail=True)
            except FileNotFoundError as error:
                raise self._no_bucket() from error
        return {path.removeprefix(f"{self._prefix}/"): int(facts["size"]) for path, facts in found.items()}

    def digests(self, folder: str, like: Mapping[str, str]) -> dict[str, str]:
        """Those that the bucket computed of what it received, from the listing alone; else the object is read."""
        with self._reported("list", f"{self.root}/{folder}"):
            listed = self._remote.find(self._path(folder), detail=True)
        found = {}
        for path, facts in sorted(listed.items()):
            name = path.removeprefix(f"{self._prefix}/")
            told = {MD5: facts.get("md5Hash"), CRC32C: facts.get("crc32c")}
            wanted = algorithm_of(like.get(name, "")) or next((kind for kind, value in told.items() if value), SHA256)
            found[name] = f"{wanted}:{told[wanted]}" if told.get(wanted) else digest_of([self.read(name)], wanted)
        return found

    def leftovers(self) -> list[str]:
        return []

    def modified(self, name: str) -> float:
        with self._reported("read", f"{self.root}/{name}"):
            return float(self._remote.info(self._path(name))["mtime"].timestamp())

    def delete(self, name: str) -> None:
        with self._reported("delete", f"{self.root}/{name}"), contextlib.suppress(FileNotFoundError):
            self._remote.rm_file(self._path(name))

    def make_folder(self, folder: str) -> None:
        pass

    def delete_folder(self, folder: str) -> None:
        # One by one, several at a time: a batch request reports failures of its parts where nobody looks.
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(self.delete, self.sizes(folder)):
                pass


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _reason(error: Exception) -> str:
    code = str(getattr(error, "code", ""))
    if isinstance(error, google.auth.exceptions.GoogleAuthError) or code == "401":
        return f"not signed in to Google Cloud ({_line(error)}); run `gcloud auth application-default login`"
    if "Forbidden" in str(error) or code == "403":
        return f"no permission ({_line(error)}); the account needs the role Storage Object User on the bucket"
    return _line(error)
