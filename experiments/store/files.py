"""What a store asks of the place it lives in, and which place a path or URL names.

Only the interface is here: `local` keeps it on a disk, `bucket` in Google Cloud Storage.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from dit_grid.experiments.store.errors import StoreError


class Files(Protocol):
    """Immutable files under a root, by names relative to it.

    Methods raise FileNotFoundError and FileExistsError as documented and StorageError for every other refusal of the
    disk or the bucket.
    """

    root: str

    def prepare(self) -> None:
        """Make the root ready to be written to."""

    def create(self, name: str, data: bytes) -> None:
        """Make the file `name` hold `data`: whole, durable, and visible at once, or not at all.

        Success also when the file already holds exactly `data`, so a caller may repeat a request whose answer it never
        got. Raises FileExistsError when the file holds anything else.
        """

    def read(self, name: str) -> bytes:
        """The file's bytes. Raises FileNotFoundError."""

    def read_many(self, names: Sequence[str]) -> list[bytes]:
        """The bytes of each file, in order. Raises FileNotFoundError if any is gone."""

    def walk(self, folder: str, prefix: str = "") -> list[str]:
        """Names of the visible files below `folder` (those starting "folder/prefix"), in no order; none if absent."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Name -> bytes of every file below `folder`, those with hidden names included; none if absent."""

    def digests(self, folder: str, like: Mapping[str, str]) -> dict[str, str]:
        """Name -> digest of every file below `folder`, by the algorithm of the name's digest in `like`, if it is there.

        What is not in `like` gets the algorithm that costs this place least: see `digests`.
        """

    def leftovers(self) -> Iterable[str]:
        """Files that a killed writer left half-made; they are never visible as data."""

    def modified(self, name: str) -> float:
        """Unix time of the file's last change, by the clock of the disk or the bucket. Raises FileNotFoundError."""

    def delete(self, name: str) -> None:
        """Remove the file; no error if it is gone already."""

    def make_folder(self, folder: str) -> None:
        """Make the folder, for a file that is to grow in it; a bucket has none."""

    def delete_folder(self, folder: str) -> None:
        """Remove every file below `folder`, in no order; no error if there is none."""


def open_files(where: str) -> Files:
    """The place that a local path or a gs:// URL names; nothing is read or made yet."""
    if where.startswith("gs://"):
        # Imported here: gcsfs takes most of a second, and a laptop never needs it.
        from dit_grid.experiments.store.bucket import BucketFiles

        return BucketFiles(where)
    if "://" in where:
        raise StoreError(f"store {where!r}: only a local path or a gs:// URL is supported")
    if not where:
        raise StoreError("store '': give a folder or a gs:// URL")
    from dit_grid.experiments.store.local import LocalFiles

    return LocalFiles(where)
