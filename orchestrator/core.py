"""The scheduler's decisions as one pure function: (state, event) -> (state, actions).

No clock, no Ray, no file: a backend turns actions into processes and feeds events back, and a test or a simulator can
do the same in microseconds. A resource is counted by kind: `cpu`, `gpu`, or a slice type such as `v3-256`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from dit_grid.experiments import failures


class Phase(StrEnum):
    """Where a run stands. DONE, FAILED and UNPLACEABLE are final."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNPLACEABLE = "unplaceable"


FINAL = frozenset({Phase.DONE, Phase.FAILED, Phase.UNPLACEABLE})

LOST = "lost"
"""The class of an attempt whose worker or host went away; every other class is one of `failures.FAILURE_CLASSES`."""

RETRIED = frozenset({LOST, failures.STORAGE})
"""Classes that another attempt may mend. A NaN, a bad input or an error in the code comes back the same every time."""


@dataclass(frozen=True)
class Run:
    """One run as the scheduler sees it. `fruitless` counts attempts in a row that ended without a new step."""

    id: str
    kind: str
    count: int
    priority: int = 0
    max_retries: int = 3
    phase: Phase = Phase.WAITING
    attempts: int = 0
    step: int = 0
    fruitless: int = 0
    reason: str = ""


@dataclass(frozen=True)
class State:
    """Every run in the order it was asked for, what the cluster has, and whether the grid is being stopped."""

    runs: Mapping[str, Run] = field(default_factory=lambda: MappingProxyType({}))
    capacity: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    stopping: bool = False

    @property
    def used(self) -> dict[str, int]:
        """Return what running runs hold, by kind."""
        used: dict[str, int] = {}
        for run in self.runs.values():
            if run.phase is Phase.RUNNING:
                used[run.kind] = used.get(run.kind, 0) + run.count
        return used

    @property
    def finished(self) -> bool:
        """Return whether nothing runs, and nothing will."""
        phases = {run.phase for run in self.runs.values()}
        return Phase.RUNNING not in phases and (self.stopping or phases <= FINAL)


@dataclass(frozen=True)
class CapacityChanged:
    """The cluster has so much of each kind in all, used or not."""

    capacity: Mapping[str, int]


@dataclass(frozen=True)
class Ended:
    """A run's attempt ended: `outcome` is done, interrupted or a failure class; `step` its newest checkpoint."""

    run_id: str
    outcome: str
    step: int
    message: str = ""


@dataclass(frozen=True)
class StopAsked:
    """Somebody wants the grid to stop; runs keep their progress and can be launched again."""


@dataclass(frozen=True)
class Start:
    """Start an attempt of the run."""

    run_id: str


@dataclass(frozen=True)
class Stop:
    """Ask the run's attempt to write a checkpoint and end."""

    run_id: str


Event = CapacityChanged | Ended | StopAsked
Action = Start | Stop


def initial(runs: Iterable[Run]) -> State:
    """Return the state before anything happened; what has to run is WAITING."""
    return State(MappingProxyType({run.id: run for run in runs}))


def advance(state: State, event: Event) -> tuple[State, tuple[Action, ...]]:
    """Return the state after `event`, and what is to be done now. Raises KeyError for an unknown run."""
    match event:
        case CapacityChanged(capacity):
            state = replace(state, capacity=MappingProxyType(dict(capacity)))
        case Ended():
            state = _with(state, _after(state.runs[event.run_id], event, state.stopping))
        case StopAsked():
            running = [run.id for run in state.runs.values() if run.phase is Phase.RUNNING]
            return replace(state, stopping=True), tuple(map(Stop, running)) if not state.stopping else ()
    return _place(state)


def _after(run: Run, event: Ended, stopping: bool) -> Run:
    """Return the run after its attempt ended."""
    if run.phase is not Phase.RUNNING:
        return run  # told twice
    if event.outcome == "done":
        return replace(run, phase=Phase.DONE, step=event.step, reason="")
    if event.outcome == "interrupted" or stopping:
        return replace(run, phase=Phase.WAITING, step=event.step, reason="interrupted; launch again to go on")
    run = replace(run, step=event.step, fruitless=0 if event.step > run.step else run.fruitless + 1)
    if event.outcome in RETRIED and run.fruitless <= run.max_retries:
        return replace(run, phase=Phase.WAITING, reason=f"{event.outcome}: {event.message}; goes on from {event.step}")
    tries = f" (no progress in {run.fruitless} attempts)" if event.outcome in RETRIED else ""
    return replace(run, phase=Phase.FAILED, reason=f"{event.outcome}: {event.message}{tries}")


def _place(state: State) -> tuple[State, tuple[Action, ...]]:
    """Start what fits, by priority and then in the order asked for; say of the rest why it waits."""
    if state.stopping:
        return state, ()
    actions: list[Action] = []
    waiting = [run for run in state.runs.values() if run.phase is Phase.WAITING]
    free = {kind: total - state.used.get(kind, 0) for kind, total in state.capacity.items()}
    for run in sorted(waiting, key=lambda run: -run.priority):
        total = state.capacity.get(run.kind, 0)
        if run.count > total:
            reason = f"needs {run.count} x {run.kind}, the cluster has {total}"
            state = _with(state, replace(run, phase=Phase.UNPLACEABLE, reason=reason))
        elif run.count <= free[run.kind]:
            free[run.kind] -= run.count
            state = _with(state, replace(run, phase=Phase.RUNNING, attempts=run.attempts + 1, reason=""))
            actions.append(Start(run.id))
        else:
            reason = f"waits for {run.count} x {run.kind}; {max(free[run.kind], 0)} of {total} free"
            state = _with(state, replace(run, reason=reason))
    return state, tuple(actions)


def _with(state: State, run: Run) -> State:
    return replace(state, runs=MappingProxyType({**state.runs, run.id: run}))
