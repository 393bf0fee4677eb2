"""The main job: bring every run of a spec to its end, from wherever an earlier launch left it.

This loop owns no decision and no state worth keeping: `core` decides, the store remembers, and killing this process at
any instant loses nothing that was committed.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence

from dit_grid.experiments.running.owed_evaluations import trainings_of
from dit_grid.experiments.spec import AnyRun, ClusterSpec, PriceSpec
from dit_grid.experiments.store import RunState, Store, StoreError
from dit_grid.experiments.store.paths import START
from dit_grid.experiments.training.context import Progress
from dit_grid.orchestrator import core
from dit_grid.orchestrator.backends.contract import Backend, newest_checkpoint, now
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.control.signals import stop_signals
from dit_grid.orchestrator.control.unwatched import LeftOpen, left_open, unwatched
from dit_grid.orchestrator.core.events import Asked, Event, RankEnded, Tick
from dit_grid.orchestrator.driving.patience import PatientJournal, answered
from dit_grid.orchestrator.planning.work import known_runs
from dit_grid.orchestrator.screen.grid import Grid

POLL_S = 0.5
"""How long to wait for news before looking at progress again."""

SPENDING_EVERY_S = 60.0
"""How often the journal says what was spent: what a killed driver does not know at most."""


def drive(
    runs: list[AnyRun],
    store: Store,
    backend: Backend,
    show: Callable[[Grid], None] = lambda grid: None,
    *,
    cluster: ClusterSpec = ClusterSpec(),  # noqa: B008  (frozen)
    price: PriceSpec = PriceSpec(),  # noqa: B008  (frozen)
    speeds: Mapping[str, float] | None = None,
    tariff: core.Tariff | None = None,
    requests: Callable[[], Sequence[Event]] = lambda: (),
    advise: Callable[[], Sequence[Event]] = lambda: (),
    watch: Callable[[Mapping[str, Progress]], Sequence[Event | journal.Noticed]] = lambda progress: (),
    holds: Callable[[], bool] = lambda: True,
) -> core.State:
    """Drive the runs to their end on the backend, or to a stop by SIGINT or SIGTERM, and return the last state.

    `show` is called after every poll; `requests` is asked for what people want before anything starts and in every
    round; `advise` before anything starts and whenever a run is done, before its place is given to the next: what the
    results so far say about the rest. `watch` is asked in every round, with how far the runs are: it keeps its own
    pace, and what it notices goes to the journal. Once `holds` says that another driver has taken over, the gangs are
    left to it and the last state is returned at once. `speeds` are steps a second by run id, for what a budget must
    keep for a run's end, `tariff` what slices are billed. A second signal ends at once and leaves runs where their last
    checkpoint is.
    """
    driver = _Driver(store, backend, runs, requests, advise, watch, holds)
    budgeted = cluster.budget != type(cluster.budget)()
    spent = journal.spent_before(store) if budgeted else core.Spending()
    known = known_runs(runs, store, price, speeds or {}, driver.first_steps)
    name = f"driver-{socket.gethostname()}-{os.getpid()}-{int(time.time())}"
    with stop_signals() as stop_asked:
        state = core.initial(known, cluster, spent, tariff)
        left = left_open(store) if budgeted or state.tariff.usd_per_hour else None
        events = PatientJournal(store.journal(name))
        state = driver.to_the_end(state, events, show, stop_asked, left)
        journal.record_spending(events, state.spending, spent)
        events.close(holds)
    return state


class _Driver:
    """The loop's parts: whom it asks, whom it tells, and since when."""

    def __init__(
        self, store: Store, backend: Backend, runs: list[AnyRun], requests: Callable[[], Sequence[Event]],
        advise: Callable[[], Sequence[Event]],
        watch: Callable[[Mapping[str, Progress]], Sequence[Event | journal.Noticed]], holds: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.backend, self.runs, self.holds, self.store = backend, runs, holds, store
        self.requests, self.advise, self.watch = answered(requests), answered(advise), watch
        self.noticed: set[tuple[str, int]] = set()
        self.trainings = tuple(trainings_of(runs))
        self.first_steps = {run.id: newest_checkpoint(store, run.id) for run in runs}
        self.began = now()
        self.spending_said = self.began

    def to_the_end(
        self, state: core.State, events: PatientJournal, show: Callable[[Grid], None], stop_asked: Callable[[], bool],
        left: LeftOpen | None = None,
    ) -> core.State:  # fmt: skip
        journal.open_with(events, state)
        # What is alive, and what people asked for, is known before the first look at the cluster lets anything start.
        adopted = self.backend.adopt({run.id: run for run in self.runs})
        asked, seen = [*self.requests(), *self.advise()], self.backend.cluster()
        missed = [unwatched(left, adopted, seen, time.time() - left.at_unix_s)] if left else []
        pending: list[Event] = [*adopted, *missed, *asked, seen]
        while True:
            for event in pending:
                if not self.holds():
                    return self._leave(state, events)
                state = self._take(state, event, events)
                if isinstance(event, RankEnded) and event.outcome == "done":
                    for advice in self.advise():
                        state = self._take(state, advice, events)
            progress = dict(self.backend.progress())
            self._say_what_was_unreadable(progress, events)
            state = self._look(state, progress, events)
            show(Grid(self.trainings, state, progress, self.first_steps, now() - self.began))
            if state.finished:
                return state
            if not self.holds():
                return self._leave(state, events)
            self._say_spending(state, events)
            pending = self._news(state, stop_asked)

    def _take(self, state: core.State, event: Event, events: PatientJournal) -> core.State:
        state, actions = core.advance(state, event)
        journal.record(events, event, actions)
        for action in actions:
            self.backend.perform(action)
        return state

    def _look(self, state: core.State, progress: Mapping[str, Progress], events: PatientJournal) -> core.State:
        """Take what is seen in the runs' curves: what the core is told, and what only the journal is."""
        for word in answered(lambda: self.watch(progress))():
            if isinstance(word, journal.Noticed):
                events.event(word.kind, word.run_id, **word.detail)
            else:
                state = self._take(state, word, events)
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

    def _say_spending(self, state: core.State, events: PatientJournal) -> None:
        if now() - self.spending_said > SPENDING_EVERY_S:
            self.spending_said = now()
            journal.record_spending(events, state.spending, state.spent_before)

    def _say_what_was_unreadable(self, progress: Mapping[str, Progress], events: PatientJournal) -> None:
        """Journal the checkpoints that each new attempt had to pass over; its start record names them."""
        for run_id, word in progress.items():
            if (run_id, word.attempt) in self.noticed or word.attempt < 1:
                continue
            self.noticed.add((run_id, word.attempt))
            for problem in unreadable_checkpoints(self.store, run_id, word.attempt):
                events.event(journal.BAD_CHECKPOINT, run_id, word.attempt, message=problem)

    def _leave(self, state: core.State, events: PatientJournal) -> core.State:
        """Another driver has the grid: touch nothing more, and leave the gangs to it."""
        self.backend.detach()
        events.event(journal.LEASE_LOST)
        return state


def unreadable_checkpoints(store: Store, run_id: str, attempt: int) -> list[str]:
    """Return a line about each checkpoint that the attempt could not read; none where the store does not answer."""
    try:
        (start,) = store.details([RunState(run_id, attempt, None)], START)
    except StoreError:
        return []
    return [str(problem) for problem in start.get("unreadable_checkpoints") or ()]
