"""What a run printed: the log of a process of an attempt, from its file on a disk or its pieces in a bucket.

Nothing is written here; processes write their logs themselves.
"""

from pathlib import Path

from dit_grid.experiments.store.paths import StorePaths
from dit_grid.experiments.store.store import Store

TAIL_BYTES = 6000
"""What of a long log a page shows: the last hundred lines or so."""


def read_log(store: Store, run_id: str, attempt: int, rank: int = 0) -> str:
    """Return what a process of an attempt logged so far, empty if nothing."""
    path = _file(store, run_id, attempt, rank)
    whole = path.read_text(encoding="utf-8") if path is not None and path.exists() else ""
    return whole + b"".join(store.files.read_many(_pieces(store, run_id, attempt, rank))).decode()


def log_tail(store: Store, run_id: str, attempt: int, rank: int = 0, most: int = TAIL_BYTES) -> str:
    """Return the end of the log in whole lines, of at most so many bytes; a long log is not read from its beginning."""
    path, pieces = _file(store, run_id, attempt, rank), _pieces(store, run_id, attempt, rank)
    data = b"".join(store.files.read_many(pieces[-8:]))
    if len(data) < most and path is not None and path.exists():
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most))
            data = file.read() + data
    text = data[-most:].decode(errors="replace")
    return text if len(data) < most else text.partition("\n")[2]


def _file(store: Store, run_id: str, attempt: int, rank: int) -> Path | None:
    if "://" in store.paths.root:
        return None
    return Path(store.paths.full(StorePaths.log(run_id, attempt, rank)))


def _pieces(store: Store, run_id: str, attempt: int, rank: int) -> list[str]:
    folder, _, file = StorePaths.log(run_id, attempt, rank).rpartition("/")
    return sorted(store.files.walk(folder, f"{file.removesuffix('.log')}-n"))
