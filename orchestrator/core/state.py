"""What the scheduler knows: runs and their starts, each in an explicit state, as records that are never changed.

A new fact makes a new record; the maps share what did not change. No decision is here, and no clock: `now` is the
newest `at` of an event.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from immutables import Map

from dit_grid.experiments.spec.cluster import ClusterSpec
from dit_grid.orchestrator.core.budget import Spending
from dit_grid.orchestrator.core.events import Gang
from dit_grid.orchestrator.core.slices import Ledger, is_pool
from dit_grid.orchestrator.core.tariff import Tariff


class Phase(StrEnum):
    """Where a run stands. DONE, FAILED and CANCELLED are final, until somebody asks to retry."""

    WAITING = "waiting"
    PAUSED = "paused"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({Phase.DONE, Phase.FAILED, Phase.CANCELLED})


class GangPhase(StrEnum):
    """Where a start of a run stands. It holds its slice until GONE, and is judged after that."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    KILLED = "killed"
    GONE = "gone"


class Evidence(NamedTuple):
    """One thing that says how a gang ended: `what` is done, interrupted, a failure class, or `lost-` and a cause."""

    at: float
    rank: int
    what: str
    message: str = ""


@dataclass(frozen=True)
class Attempt:
    """One start of a run. Steps are counted: it went on from `resumed` (None: it never said), and reached `step`."""

    gang: Gang
    slice: str | None
    ranks: int
    asked_at: float
    phase: GangPhase = GangPhase.STARTING
    resumed: int | None = None
    step: int = 0
    activity: str = "starting"
    advanced_at: float = 0.0
    step_times: tuple[float, ...] = ()
    """Seconds a step between its latest reports."""
    report_steps: int = 0
    """The most steps between two of its reports."""
    evidence: tuple[Evidence, ...] = ()
    stop: str = ""
    """Why the scheduler ends it: cancel, pause, enough, stop, drain, budget, no-progress or start-timeout; empty if
    not."""
    told_at: float = 0.0
    """When the last CheckpointAndStop or Kill was given."""
    gone_at: float = 0.0
    checkpoint: int | None = None
    """The newest checkpoint after its end."""
    outcome: str = ""
    """How it was judged, once it was."""
    heard_at: float = 0.0
    """When it was first heard of, which is when its process had started; 0 if not before it trained."""


@dataclass(frozen=True)
class Run:
    """One run: what it needs, what it costs, and how it stands. `step` is its newest checkpoint.

    An evaluation that is a job of its own is a run of one step, which measures the checkpoint of the run `of` at
    `at_step` and may start once that is there. Its compute is that of its samples.
    """

    id: str
    kind: str
    count: int
    priority: int = 0
    max_retries: int = 3
    steps: int = 0
    macs_per_step: int = 0
    report_steps: int = 0
    """Steps between two reports, where that is known beforehand."""
    seconds_per_step: float | None = None
    usd_per_hour: float = 0.0
    phase: Phase = Phase.WAITING
    starts: int = 0
    step: int = 0
    fruitless: int = 0
    """Attempts in a row that ended without a new checkpoint; preemptions are not counted."""
    reason: str = ""
    barren: int = 0
    """Preemptions in a row before a single step was seen; free, but with growing patience from the second on."""
    not_before: float = 0.0
    avoid: str | None = None
    """The slice that the last attempt failed on; another one is taken first."""
    attempt: Attempt | None = None
    past: tuple[Attempt, ...] = ()
    ran_steps: int = 0
    wasted_steps: int = 0
    first_step: int = 0
    """The checkpoint that it had when the scheduler first saw it."""
    committed: int = 0
    """The newest checkpoint that is known of, also of a gang that is still at work."""
    of: str = ""
    at_step: int = 0
    known: str = ""
    """What is known of its end, in words, so that it was ended before; empty of every other run."""

    @property
    def productive_steps(self) -> int:
        """Return the steps that its newest checkpoint holds and that ran under this scheduler."""
        return self.step - self.first_step

    @property
    def attempts(self) -> int:
        """Return how many times it was started."""
        return self.starts

    @property
    def remaining_s(self) -> float | None:
        """Return the expected seconds from its newest checkpoint to its end; None if its speed is not known."""
        return None if self.seconds_per_step is None else max(self.steps - self.step, 0) * self.seconds_per_step


class Compute(NamedTuple):
    """Multiply-accumulates: all that ran, and of that what counts and what was lost. Exact integers."""

    total: int
    productive: int
    wasted: int


@dataclass(frozen=True)
class State:
    """Everything. `order` is the order of launching; `ready` holds, by need, the places in it of runs that may start.

    A set of places is the bits of an integer: immutable, small, and its lowest member is found at once.
    """

    options: ClusterSpec = field(default_factory=ClusterSpec)
    runs: Map[str, Run] = field(default_factory=Map)
    order: tuple[str, ...] = ()
    place_of: Map[str, int] = field(default_factory=Map)
    ready: Map[tuple[str, int], int] = field(default_factory=Map)
    timers: tuple[tuple[float, str, str], ...] = ()
    """(when, `run` or `slice` or `budget`, its name), earliest first."""
    due: Map[tuple[str, str], float] = field(default_factory=Map)
    ledger: Ledger = field(default_factory=Ledger)
    spending: Spending = field(default_factory=Spending)
    strays: Map[Gang, tuple[str | None, str, int]] = field(default_factory=Map)
    """Gangs that nobody wants any more, and what each still holds: slice, kind, count."""
    now: float = 0.0
    unfinished: int = 0
    active: int = 0
    """Runs with a gang that holds something or is still to be judged."""
    stopping: bool = False
    blocked: bool = False
    """Whether the budget lets none of the waiting runs start, and nothing runs that could give some of it back."""
    enough: str = ""
    """Why no more runs are needed, in words; empty while they are."""
    evaluations: Map[str, tuple[str, ...]] = field(default_factory=Map)
    """By run: the jobs that measure its checkpoints."""
    tariff: Tariff = field(default_factory=Tariff)
    spent_before: Spending = field(default_factory=Spending)
    """What earlier launches of the store spent."""

    @property
    def finished(self) -> bool:
        """Return whether nothing runs, and nothing will."""
        if self.active or self.strays:
            return False
        return self.stopping or self.blocked or not self.unfinished or (bool(self.enough) and not self._owed)

    @property
    def next_deadline(self) -> float | None:
        """Return when the core wants a Tick at the latest; None while it waits for nothing."""
        return self.timers[0][0] if self.timers else None

    def in_order(self) -> Iterator[Run]:
        """Yield every run in the order of launching."""
        return (self.runs[run_id] for run_id in self.order)

    @property
    def _owed(self) -> bool:
        """Whether a checkpoint that is there still waits to be measured."""
        return any(
            run.phase is Phase.WAITING and has_its_checkpoint(run, self.runs)
            for jobs in self.evaluations.values() for run in map(self.runs.__getitem__, jobs)
        )  # fmt: skip

    @property
    def compute(self) -> Compute:
        """Return the grid's training compute up to the last word of every gang."""
        return self._compute(evaluations=False)

    @property
    def evaluation_compute(self) -> Compute:
        """Return the compute of evaluations that are jobs of their own; what was cut short of one is not known."""
        return self._compute(evaluations=True)

    def _compute(self, evaluations: bool) -> Compute:
        total = wasted = productive = 0
        for run in self.runs.values():
            if bool(run.of) is not evaluations:
                continue
            reached, resumed = run.step, run.step
            if run.attempt is not None and run.attempt.resumed is not None:
                reached, resumed = run.attempt.step, run.attempt.resumed
            total += (run.ran_steps + reached - resumed) * run.macs_per_step
            productive += (reached - run.first_step) * run.macs_per_step
            wasted += (run.wasted_steps + run.step - resumed) * run.macs_per_step
        return Compute(total, productive, wasted)


def has_its_checkpoint(run: Run, runs: Mapping[str, Run]) -> bool:
    """Return whether what an evaluation measures is there; true of a training, which needs nothing of another's."""
    return not run.of or run.of not in runs or runs[run.of].committed >= run.at_step


def initial(
    runs: Iterable[Run], options: ClusterSpec = ClusterSpec(), spent: Spending = Spending(),  # noqa: B008  (frozen)
    tariff: Tariff | None = None,
) -> State:  # fmt: skip
    """Return the state before anything happened; what has to run is WAITING. `spent` counts earlier launches.

    Without a tariff slices of the runs' types are billed at the runs' prices, as long as they are there.
    Training goes before evaluations of its priority. Those of a run that ended before the checkpoint end as it did.
    """
    asked = [_first_seen(run) for run in runs]
    signs = {"spec": 0, "cheapest": 1, "largest": -1}
    sign = signs[options.order]
    asked.sort(
        key=lambda run: (-run.priority, bool(run.of), sign * (run.steps - run.step) * run.macs_per_step)
    )  # stable
    trainings = {run.id: run for run in asked if not run.of}
    asked = [without_checkpoint(run, trainings) for run in asked]
    known = Map({run.id: run for run in asked})
    order = tuple(run.id for run in asked)
    ready: dict[tuple[str, int], int] = {}
    jobs: dict[str, tuple[str, ...]] = {}
    for place, run in enumerate(asked):
        if run.phase is Phase.WAITING and has_its_checkpoint(run, known):
            ready[run.kind, run.count] = ready.get((run.kind, run.count), 0) | 1 << place
        if run.of:
            jobs[run.of] = (*jobs.get(run.of, ()), run.id)
    return State(
        options, known, order, Map({run_id: place for place, run_id in enumerate(order)}), Map(ready),
        spending=spent, unfinished=sum(run.phase not in FINAL for run in asked), evaluations=Map(jobs),
        tariff=_of_runs(asked) if tariff is None else tariff, spent_before=spent,
    )  # fmt: skip


def without_checkpoint(run: Run, runs: Mapping[str, Run]) -> Run:
    """Return an evaluation as the state of its training makes it, where the checkpoint to be measured is not there.

    It ends with a training that failed or was cancelled, waits again with one that is tried again, and one that was
    measured waits to be measured again, for the training went back before that checkpoint and will write it again.
    """
    if has_its_checkpoint(run, runs) or run.attempt is not None:
        return run
    training = runs[run.of]
    if training.phase in (Phase.FAILED, Phase.CANCELLED):
        if run.phase in FINAL:
            return run
        reason = f"the checkpoint at step {run.at_step} never came: {training.id} {training.phase}"
        return replace(run, phase=training.phase, reason=reason)
    if run.phase not in FINAL:
        return run
    lost = run.step - run.first_step
    return replace(
        run, phase=Phase.WAITING, reason="", step=0, first_step=0, committed=0, wasted_steps=run.wasted_steps + lost,
        fruitless=0, not_before=0.0, avoid=None,
    )  # fmt: skip


def reordered(state: State, run_ids: Iterable[str]) -> State:
    """Return the state with these runs first, in this order, among those of their priority; the others keep theirs."""
    rank = {run_id: place for place, run_id in enumerate(run_ids)}
    order = tuple(sorted(state.order, key=lambda run_id: (-state.runs[run_id].priority, rank.get(run_id, len(rank)))))
    places = {run_id: place for place, run_id in enumerate(order)}
    ready: dict[tuple[str, int], int] = {}
    for need, bits in state.ready.items():
        while bits:
            run_id = state.order[(bits & -bits).bit_length() - 1]
            ready[need] = ready.get(need, 0) | 1 << places[run_id]
            bits &= bits - 1
    return replace(state, order=order, place_of=Map(places), ready=Map(ready))


def _of_runs(runs: Iterable[Run]) -> Tariff:
    return Tariff(Map({run.kind: run.usd_per_hour / run.count for run in runs if run.count and not is_pool(run.kind)}))


def _first_seen(run: Run) -> Run:
    return replace(run, first_step=run.step, committed=max(run.committed, run.step))
