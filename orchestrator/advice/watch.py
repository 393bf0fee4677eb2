"""What a driver looks at while runs train: whether one left its peers' curve, and whether one's own end is known.

What is here keeps the pace, so that looking costs little of a driver's time; the rules are `alarm` and `final`.
"""

import time
from collections.abc import Callable, Mapping, Sequence

from dit_grid.experiments.spec import ExperimentSpec
from dit_grid.experiments.store import DamagedFileError, Store
from dit_grid.experiments.training.context import Progress
from dit_grid.orchestrator.advice.alarm import alarms, detail_of
from dit_grid.orchestrator.advice.until import adviser, is_final
from dit_grid.orchestrator.control.journal import LEFT_CURVE, Noticed
from dit_grid.orchestrator.core.events import Event

EVERY_S = 20.0
"""Least seconds between two looks."""

SHARE = 0.02
"""Most of a driver's time that looking may take: after a look of a second comes none for fifty."""

FURTHER = 0.05
"""Share of its steps by which some run has to be further than at the last look."""


class Watch:
    """Called in every round with the runs' progress; looks when one is further and it is time, says nothing twice."""

    def __init__(self, spec: ExperimentSpec, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._ends = adviser(spec, store) if is_final(spec) else None
        self._not_before = 0.0
        self._seen: dict[str, float] = {}
        self._said: set[str] = set()

    def __call__(self, progress: Mapping[str, Progress]) -> Sequence[Event | Noticed]:
        """Return what is new: runs that left their peers' curve, and runs whose end is known."""
        done = {run_id: word.step / word.steps for run_id, word in progress.items() if word.steps}
        further = any(share >= self._seen.get(run_id, 0.0) + FURTHER for run_id, share in done.items())
        began = self._clock()
        if not further or began < self._not_before:
            return ()
        self._seen.update(done)
        try:
            found = [*self._left(progress), *(self._ends() if self._ends is not None else ())]
        except DamagedFileError:  # `store check` says which; a driver goes on without its curves
            found = []
        after = self._clock()
        self._not_before = after + max(EVERY_S, (after - began) / SHARE)
        return found

    def _left(self, progress: Mapping[str, Progress]) -> list[Noticed]:
        new = [one for one in alarms(self._store, list(progress)).left if one.run_id not in self._said]
        self._said.update(one.run_id for one in new)
        return [Noticed(LEFT_CURVE, one.run_id, detail_of(one)) for one in new]
