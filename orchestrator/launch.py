"""The main job: bring every run of a spec to its end, from wherever an earlier launch left it.

This loop owns no decision and no state worth keeping: `core` decides, the store remembers, and killing this process at
any instant loses nothing that was committed.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dit_grid.experiments.context import Progress, code_sha256
from dit_grid.experiments.evaluation_jobs import (
    TRAINED,
    EvaluationJob,
    evaluation_job,
    evaluation_steps,
    jobs_of,
    lacking,
    trainings_of,
)
from dit_grid.experiments.spec import ClusterSpec, ExperimentSpec, PriceSpec, RunSpec
from dit_grid.experiments.store import EventWriter, NotAStoreError, RunState, Store
from dit_grid.model import accounting
from dit_grid.orchestrator import core, journal
from dit_grid.orchestrator.backend import Backend, newest_checkpoint, now
from dit_grid.orchestrator.errors import RequestError
from dit_grid.orchestrator.plan import evaluation_macs_at, evaluation_s, usd_per_hour
from dit_grid.orchestrator.signals import stop_signals
from dit_grid.orchestrator.vocabulary import Asked, ClusterSeen, Event, RankEnded, Tick

POLL_S = 0.5
"""How long to wait for news before looking at progress again."""

SPENDING_EVERY_S = 60.0
"""How often the journal says what was spent: what a killed driver does not know at most."""


@dataclass(frozen=True)
class Grid:
    """What a display needs to draw: the scheduler's state, the newest word of each run, and how long it has been going.

    `first_steps` says from which checkpoint each run went on when the launch began.
    """

    runs: tuple[RunSpec, ...]
    state: core.State
    progress: dict[str, Progress]
    first_steps: dict[str, int]
    elapsed_s: float


def record_runs(spec: ExperimentSpec, store: Store) -> None:
    """Put every run of the spec into the store's runs table; a run that is there already stays as it is."""
    known = set(store.runs()["run_id"].to_pylist())
    for run in spec.runs:
        if run.id not in known:
            store.add_run(run_row(spec, run))


def run_row(spec: ExperimentSpec, run: RunSpec) -> dict[str, object]:
    """Return the run's row of `records.RUNS`; costs come from `model.accounting` alone."""
    model, network = run.model, run.network
    return {
        "run_id": run.id,
        "experiment": spec.name,
        "model": model.name,
        **model.model_dump(include={"size", "patch", "block", "image_size", "channels", "classes"}),
        **model.model_dump(include={"width", "depth", "heads"}),
        "tokens": network.tokens,
        "params": accounting.trainable_params(network),
        "forward_macs": accounting.forward_macs(network),
        "batch": run.train.batch,
        "steps": run.train.steps,
        "seed": run.seed,
        "dataset": run.data.name,
        "spec": json.dumps(run.identity(), sort_keys=True),
        "code_sha256": code_sha256(),
    }


def unfinished(spec: ExperimentSpec) -> list[RunSpec]:
    """Return the spec's runs that its store, if there is one, does not hold to the end.

    After each stand the jobs that are still to measure its checkpoints, where those are jobs of their own.
    """
    try:
        store: Store | None = Store.open(spec.store)
    except NotAStoreError:
        store = None
    states = store.states() if store is not None else {}
    left = [run for run in spec.runs if run.id not in states or states[run.id].outcome != "done"]
    apart = [run for run in left if run.execution.evaluate_on is not None or _is_trained(states, run.id)]
    begun = [run for run in apart if run.id in states]
    owed = {run.id: evaluation_steps(run) for run in apart}
    if store is not None and begun:
        owed |= lacking(store, begun)
    return [job for run in left for job in (run, *(evaluation_job(run, step) for step in owed.get(run.id, ())))]


def _is_trained(states: Mapping[str, RunState], run_id: str) -> bool:
    return run_id in states and states[run_id].outcome == TRAINED


def check_placeable(runs: list[RunSpec], cluster: ClusterSeen) -> None:
    """Raise RequestError, in a few lines, if some run cannot execute on the cluster, before anything is started.

    A slice that is broken or draining just now counts as there: it may come back, and the run waits for it.
    """
    capacity = dict(cluster.pools)
    for item in cluster.slices:
        capacity[item.type] = capacity.get(item.type, 0) + 1
    needs: dict[tuple[str, int], list[str]] = {}
    for run in runs:
        resources = run.execution.resources
        if resources.count > capacity.get(resources.kind, 0):
            needs.setdefault((resources.kind, resources.count), []).append(run.model.name)
    if not needs:
        return
    has = ", ".join(f"{count} x {kind}" for kind, count in sorted(capacity.items())) or "nothing"
    lines = [f"the cluster cannot hold {sum(map(len, needs.values()))} of {len(runs)} runs; it has {has}"]
    lines += [f"  {count} x {kind} each: {', '.join(names)}" for (kind, count), names in needs.items()]
    lines.append("  connect to a cluster that has them with --address, or change execution.resources in the spec")
    raise RequestError("\n".join(lines))


def drive(
    runs: list[RunSpec],
    store: Store,
    backend: Backend,
    show: Callable[[Grid], None] = lambda grid: None,
    *,
    cluster: ClusterSpec = ClusterSpec(),  # noqa: B008  (frozen)
    price: PriceSpec = PriceSpec(),  # noqa: B008  (frozen)
    speeds: Mapping[str, float] | None = None,
    requests: Callable[[], Sequence[Event]] = lambda: (),
    advise: Callable[[], Sequence[Event]] = lambda: (),
    holds: Callable[[], bool] = lambda: True,
) -> core.State:
    """Drive the runs to their end on the backend, or to a stop by SIGINT or SIGTERM, and return the last state.

    `show` is called after every poll; `requests` is asked for what people want before anything starts and in every
    round; `advise` before anything starts and whenever a run is done, before its place is given to the next: what the
    results so far say about the rest. Once `holds` says that another driver has taken over, the gangs are left to it
    and the last state is returned at once. `speeds` are steps a second by run id, for what a budget must keep for a
    run's end. A second signal ends at once and leaves runs where their last checkpoint is.
    """
    driver = _Driver(store, backend, runs, requests, advise, holds)
    spent = journal.spent_before(store) if cluster.budget != type(cluster.budget)() else core.Spending()
    states, measured = store.states(), dict(speeds or {})
    # With nothing left to measure it was cut off before its end was recorded; started again it records that.
    trained = {job.run_id for job in jobs_of(runs) if _is_trained(states, job.run_id)}
    measured |= {job.id: 1 / evaluation_s(job, measured[job.run_id]) for job in jobs_of(runs) if job.run_id in measured}
    known = [
        core_run(
            run, price, step=driver.first_steps[run.id], steps_per_s=measured.get(run.id),
            starts=states[run.id].attempt if run.id in states else 0, trained=run.id in trained,
        )
        for run in runs
    ]  # fmt: skip
    name = f"driver-{socket.gethostname()}-{os.getpid()}-{int(time.time())}"
    with store.journal(name) as events, stop_signals() as stop_asked:
        driver.spent_before = spent
        state = driver.to_the_end(core.initial(known, cluster, spent), events, show, stop_asked)
        journal.record_spending(events, state.spending, spent)
    return state


class _Driver:
    """The loop's parts: whom it asks, whom it tells, and since when."""

    def __init__(
        self, store: Store, backend: Backend, runs: list[RunSpec], requests: Callable[[], Sequence[Event]],
        advise: Callable[[], Sequence[Event]], holds: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.backend, self.runs, self.requests, self.advise, self.holds = backend, runs, requests, advise, holds
        self.trainings = tuple(trainings_of(runs))
        self.first_steps = {run.id: newest_checkpoint(store, run.id) for run in runs}
        self.began = now()
        self.spending_said, self.spent_before = self.began, core.Spending()

    def to_the_end(
        self, state: core.State, events: EventWriter, show: Callable[[Grid], None], stop_asked: Callable[[], bool]
    ) -> core.State:
        journal.open_with(events, state)
        # What is alive, and what people asked for, is known before the first look at the cluster lets anything start.
        adopted = self.backend.adopt({run.id: run for run in self.runs})
        pending: list[Event] = [*adopted, *self.requests(), *self.advise(), self.backend.cluster()]
        while True:
            for event in pending:
                if not self.holds():
                    return self._leave(state, events)
                state = self._take(state, event, events)
                if isinstance(event, RankEnded) and event.outcome == "done":
                    for advice in self.advise():
                        state = self._take(state, advice, events)
            progress = dict(self.backend.progress())
            show(Grid(self.trainings, state, progress, self.first_steps, now() - self.began))
            if state.finished:
                return state
            if not self.holds():
                return self._leave(state, events)
            self._say_spending(state, events)
            pending = self._news(state, stop_asked)

    def _take(self, state: core.State, event: Event, events: EventWriter) -> core.State:
        state, actions = core.advance(state, event)
        journal.record(events, event, actions)
        for action in actions:
            self.backend.perform(action)
        return state

    def _news(self, state: core.State, stop_asked: Callable[[], bool]) -> list[Event]:
        deadline = state.next_deadline
        patience_s = POLL_S if deadline is None else min(max(deadline - now(), 0.0), POLL_S)
        news = [*self.backend.poll(patience_s), *self.requests()]
        if stop_asked() and not state.stopping:
            news.append(Asked(now(), "stop"))
        if deadline is not None and deadline <= now():
            news.append(Tick(now()))
        return news

    def _say_spending(self, state: core.State, events: EventWriter) -> None:
        if now() - self.spending_said > SPENDING_EVERY_S:
            self.spending_said = now()
            journal.record_spending(events, state.spending, self.spent_before)

    def _leave(self, state: core.State, events: EventWriter) -> core.State:
        """Another driver has the grid: touch nothing more, and leave the gangs to it."""
        self.backend.detach()
        events.event(journal.LEASE_LOST)
        return state


def core_run(
    run: RunSpec, price: PriceSpec, *, step: int = 0, steps_per_s: float | None = None, starts: int = 0,
    trained: bool = False,
) -> core.Run:  # fmt: skip
    """Return the run as the core sees it: what it needs, what it costs, and from where it goes on.

    A job that measures a checkpoint is one step; `steps_per_s` is then of such jobs.
    """
    execution = run.execution
    usd = usd_per_hour(execution.resources, price) or 0.0
    seconds = 1 / steps_per_s if steps_per_s else None
    if isinstance(run, EvaluationJob):
        return core.Run(
            run.id, execution.resources.kind, execution.resources.count, execution.priority, execution.max_retries,
            steps=1, macs_per_step=evaluation_macs_at(run, run.measures), report_steps=1, seconds_per_step=seconds,
            usd_per_hour=usd, step=step, of=run.run_id, at_step=run.measures,
        )  # fmt: skip
    return core.Run(
        run.id,
        execution.resources.kind,
        execution.resources.count,
        execution.priority,
        execution.max_retries,
        steps=run.train.steps,
        macs_per_step=accounting.training_macs(run.network, run.train.batch, steps=1),
        report_steps=run.train.log_every,
        seconds_per_step=seconds,
        usd_per_hour=usd,
        step=step,
        starts=starts,
        phase=core.Phase.DONE if trained else core.Phase.WAITING,
    )
