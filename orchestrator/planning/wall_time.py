"""What of a spec is done already, and how long the rest takes on this machine, where as many runs go at once as fit.

A run's own hours are the plan's (`plan`); here is only who waits for whom.
"""

import heapq
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dit_grid.experiments.spec import AnyRun, ExperimentSpec
from dit_grid.experiments.store import NotAStoreError, Store
from dit_grid.experiments.training.checkpoint_list import live_checkpoints
from dit_grid.orchestrator.planning.plan import PlanRow


class Wall(NamedTuple):
    """Hours until the last run ends here, and what they are reckoned for."""

    hours: float
    cores: int
    at_once: int
    """The most runs that go at the same time."""


def steps_done(spec: ExperimentSpec) -> dict[str, int]:
    """Run id -> the step that its store holds it to: all of them if it is done, else its newest checkpoint's.

    Runs that have not begun are missing.
    """
    try:
        store = Store.open(spec.store)
    except NotAStoreError:
        return {}
    states = store.states()
    return {run.id: _step(store, run, states[run.id].outcome) for run in spec.runs if run.id in states}


def _step(store: Store, run: AnyRun, outcome: str | None) -> int:
    if outcome == "done":
        return run.train.steps
    kept = live_checkpoints(store, run.id)
    return kept[-1][0] if kept else 0


def cores_here() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def wall_time(spec: ExperimentSpec, rows: Sequence[PlanRow], done: Mapping[str, int], cores: int) -> Wall | None:
    """The time that what is left takes on so many cores, started in the order of the spec, each as soon as it fits.

    None where a run is not on cores, does not fit, or its hours are not known.
    """
    ends: list[tuple[float, int]] = []
    free, now, at_once, last = cores, 0.0, 0, 0.0
    for run, row in zip(spec.runs, rows, strict=True):
        needs = run.execution.resources.cpus
        left = 1 - done.get(run.id, 0) / run.train.steps
        if not needs or needs > cores or row.hours is None:
            return None
        if left <= 0:
            continue
        while free < needs:
            now, freed = heapq.heappop(ends)
            free += freed
        free -= needs
        heapq.heappush(ends, (now + row.hours * left, needs))
        at_once, last = max(at_once, len(ends)), max(last, now + row.hours * left)
    return Wall(last, cores, at_once)
