"""Requests as a driver hears them: at first what stands, then what is new, as events of the scheduler's core.

The files are `requests`, which whoever only looks reads without the core and its settings.
"""

import time
from collections.abc import Callable, Mapping

from dit_grid.experiments.store.files import Files
from dit_grid.orchestrator.control.requests import CANCEL, PAUSE, asked, standing
from dit_grid.orchestrator.core.events import Asked


class Inbox:
    """The requests of a store as its driver hears them: at first what stands, then what is new.

    `clock` is the one of all events of the driver, `backend.now`.
    """

    def __init__(self, files: Files, look_every_s: float = 2.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._files, self._look_every_s, self._clock = files, look_every_s, clock
        self._last: int | None = None
        self._looked = 0.0

    def events(self) -> list[Asked]:
        """Return what is to be told to the scheduler; looks into the store only every `look_every_s` seconds."""
        at = self._clock()
        if self._last is not None and at - self._looked < self._look_every_s:
            return []
        self._looked = at
        requests = asked(self._files, after=self._last or 0)
        first, self._last = self._last is None, max((r.number for r in requests), default=self._last or 0)
        if first:
            stands = standing(requests)
            return [Asked(at, what, ids) for what in (CANCEL, PAUSE) if (ids := _those(stands, what))]
        return [Asked(at, request.what, request.run_ids) for request in requests]


def _those(stands: Mapping[str, str], what: str) -> tuple[str, ...]:
    return tuple(run_id for run_id, said in stands.items() if said == what)
