"""A driver whose store takes or tells nothing for a while: what it wants to write waits, and nobody is heard meanwhile.

Whether it may go on at all is the lease's to say; runs that cannot write end by themselves and are tried again.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dit_grid.experiments.store import EventWriter, StorageError

CLOSE_S = 60.0
"""How long a launch that is over waits for the store to take the rest of its journal."""

LOOK_S = 1.0


class PatientJournal:
    """The launch's journal. Rows that the store does not take stay in the writer and go with the next flush."""

    def __init__(self, events: EventWriter) -> None:
        self._events = events

    def event(self, kind: str, run_id: str = "", attempt: int | None = None, **detail: Any) -> None:
        """Add a row."""
        with contextlib.suppress(StorageError):
            self._events.event(kind, run_id, attempt, **detail)

    def close(self, holds: Callable[[], bool]) -> None:
        """Write what is left. Raises StorageError where the store does not take it within CLOSE_S, or it is lost."""
        until = time.monotonic() + CLOSE_S
        while True:
            try:
                return self._events.flush()
            except StorageError:
                if time.monotonic() > until or not holds():
                    raise
                time.sleep(LOOK_S)


Word = TypeVar("Word")


def answered(ask: Callable[[], Sequence[Word]]) -> Callable[[], Sequence[Word]]:
    """Return `ask` so that a store that does not answer says nothing; it is asked again soon."""

    def asked() -> Sequence[Word]:
        try:
            return ask()
        except StorageError:
            return ()

    return asked
