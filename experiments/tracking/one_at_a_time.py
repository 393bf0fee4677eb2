"""The lock of a place that is mirrored to: one mirror at a time, and a killed one holds nothing up."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from dit_grid.experiments.tracking.tracker import TrackingError


@contextlib.contextmanager
def locked(folder: Path, wait: Callable[[], bool]) -> Iterator[None]:
    """Hold the folder's lock, which ends with this process, however that ends.

    While another has it, `wait` says whether to wait. Raises TrackingError where not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+", encoding="utf-8") as file:
        while not _taken(file):
            if not wait():
                file.seek(0)
                who = file.read().strip() or "?"
                raise TrackingError(f"{folder}: process {who} mirrors to it already; end it first")
            time.sleep(0.2)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
