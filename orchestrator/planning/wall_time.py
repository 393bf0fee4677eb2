"""What of a spec is done already, and how long the rest takes on this machine, where as many runs go at once as fit.

A run's own hours are the plan's (`plan`); here is only who waits for whom.
"""

import heapq
import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from dit_grid.experiments.spec import AnyRun, ExperimentSpec
from dit_grid.experiments.store import NotAStoreError, Store
from dit_grid.experiments.training.checkpoint_list import live_checkpoints
from dit_grid.orchestrator.core.state import initial
from dit_grid.orchestrator.planning.plan import PlanRow
from dit_grid.orchestrator.planning.work import core_run


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
    """The time that what is left takes on so many cores, started in the order of a launch, each as soon as it fits.

    A run too large for what is free is passed by others of its priority, as the scheduler has it. None where a run is
    not on cores, does not fit, or its hours are not known.
    """
    hours = {run.id: row.hours for run, row in zip(spec.runs, rows, strict=True)}
    needs = {run.id: run.execution.resources.cpus or 0 for run in spec.runs}
    if not all(0 < count <= cores for count in needs.values()) or None in hours.values():
        return None
    left = {run.id: (hours[run.id] or 0.0) * (1 - done.get(run.id, 0) / run.train.steps) for run in spec.runs}
    state = initial([core_run(run, spec.plan, step=done.get(run.id, 0)) for run in spec.runs], spec.cluster)
    waiting = [run for run in state.in_order() if left[run.id] > 0]
    ends: list[tuple[float, int]] = []
    free, now, at_once = cores, 0.0, 0
    for _, equals in groupby(waiting, key=lambda run: run.priority):
        lines = _lines([(needs[run.id], left[run.id]) for run in equals])
        while lines:
            need = _next(lines, free)
            if need is None:
                now, freed = heapq.heappop(ends)
                free += freed
                continue
            heapq.heappush(ends, (now + _taken(lines, need), need))
            free -= need
            at_once = max(at_once, len(ends))
    return Wall(max((end for end, _ in ends), default=0.0), cores, at_once)


def _lines(runs: Iterable[tuple[int, float]]) -> dict[int, deque[tuple[int, float]]]:
    """Cores -> (place, hours) of the runs that need so many, of runs as (cores, hours): thousands wait in few lines."""
    lines: dict[int, deque[tuple[int, float]]] = {}
    for place, (need, hours) in enumerate(runs):
        lines.setdefault(need, deque()).append((place, hours))
    return lines


def _next(lines: Mapping[int, deque[tuple[int, float]]], free: int) -> int | None:
    """Whose line the first in order stands in, of those that fit; None if none does."""
    return min((need for need in lines if need <= free), key=lambda need: lines[need][0], default=None)


def _taken(lines: dict[int, deque[tuple[int, float]]], need: int) -> float:
    """The hours of the first of the line, which leaves it."""
    _, hours = lines[need].popleft()
    if not lines[need]:
        del lines[need]
    return hours
