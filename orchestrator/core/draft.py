"""A working copy of the state for the length of one event: it can be changed, the state it came from is not.

It keeps the indexes (who is ready, what is due, what is spent) in step with the runs; what is decided, others decide.
"""

from bisect import bisect_left
from dataclasses import replace

from immutables import Map

from dit_grid.experiments.spec.cluster import ClusterSpec
from dit_grid.orchestrator.core.budget import Rate
from dit_grid.orchestrator.core.events import Action, CheckpointAndStop, Gang, Kill, Start
from dit_grid.orchestrator.core.state import (
    FINAL,
    Attempt,
    GangPhase,
    Phase,
    Run,
    State,
    has_its_checkpoint,
    without_checkpoint,
)

RUN, SLICE, BUDGET = "run", "slice", "budget"


class Draft:
    """The state under an event that came at `at`. `done` returns the new state and what is to be done."""

    def __init__(self, state: State, at: float) -> None:
        self.before = state
        self.now = max(at, state.now)
        self.options: ClusterSpec = state.options
        self.runs: Map[str, Run] = state.runs
        self.ready, self.timers, self.due = state.ready, state.timers, state.due
        self.ledger, self.strays = state.ledger, state.strays
        self.spending = state.spending.at(self.now)
        self.unfinished, self.active = state.unfinished, state.active
        self.stopping, self.blocked, self.enough = state.stopping, state.blocked, state.enough
        self.actions: list[Action] = []
        self.place_again = False

    def done(self) -> tuple[State, tuple[Action, ...]]:
        before = self.before
        state = State(
            before.options, self.runs, before.order, before.place_of, self.ready, self.timers, self.due, self.ledger,
            self.spending, self.strays, self.now, self.unfinished, self.active, self.stopping, self.blocked,
            self.enough, before.evaluations, before.tariff, before.spent_before,
        )  # fmt: skip
        return state, tuple(self.actions)

    def put(self, run: Run, due: float | None) -> None:
        """Take the run's new record, and when to look at it again."""
        old = self.runs[run.id]
        self.runs = self.runs.set(run.id, run)
        self.unfinished += (run.phase not in FINAL) - (old.phase not in FINAL)
        self.active += (run.attempt is not None) - (old.attempt is not None)
        self.alarm(RUN, run.id, due)
        self._index(run)
        if run.id in self.before.evaluations and (old.phase, old.committed) != (run.phase, run.committed):
            self._follow(old, run)

    def alarm(self, kind: str, name: str, due: float | None) -> None:
        """Set, move or (None) remove the one alarm of a run, a slice or the budget."""
        key = (kind, name)
        old = self.due.get(key)
        if old == due:
            return
        timers = self.timers
        if old is not None:
            at = bisect_left(timers, (old, kind, name))
            timers = (*timers[:at], *timers[at + 1 :])
        if due is not None:
            at = bisect_left(timers, (due, kind, name))
            timers = (*timers[:at], (due, kind, name), *timers[at:])
            self.due = self.due.set(key, due)
        else:
            self.due = self.due.delete(key)
        self.timers = timers

    def start(self, run: Run, slice_name: str | None) -> None:
        """Start the run on the slice, or on its pool."""
        gang = Gang(run.id, run.starts + 1)
        attempt = Attempt(
            gang, slice_name, self.ledger.ranks(slice_name), self.now, step=run.step, advanced_at=self.now
        )
        self.hold(attempt, run)
        started = replace(
            run, phase=Phase.RUNNING, starts=gang.start, attempt=attempt, reason="", not_before=0.0,
        )  # fmt: skip
        self.put(started, self.now + self.options.start_timeout_s)
        self.actions.append(Start(gang, slice_name))

    def hold(self, attempt: Attempt, run: Run) -> None:
        """Enter in the books that the gang holds what its run needs."""
        kept_s = self._kept_s(attempt.slice)
        self.ledger = self.ledger.take(attempt.slice, run.kind, run.count, attempt.gang)
        self.spending = self.spending.holding(1, run.usd_per_hour, self.by_gang(attempt.slice), kept_s)

    def release(self, slice_name: str | None, kind: str, count: int, usd_per_hour: float) -> None:
        """Enter in the books that a gang is gone."""
        self.ledger = self.ledger.give_back(slice_name, kind, count, self.now)
        self.spending = self.spending.holding(-1, usd_per_hour, self.by_gang(slice_name))
        self.place_again = True

    def count_slices(self) -> None:
        """Bill from now on for the slices that stay, as many as the ledger has ever seen together."""
        self.spending = replace(self.spending, stay=Rate(*self.before.tariff.of_slices(self.ledger.most)))

    def by_gang(self, slice_name: str | None) -> bool:
        """Return whether what a gang holds is billed for as long as it does, and not for as long as it is there."""
        return slice_name is None or not self.before.tariff.stays

    def _kept_s(self, slice_name: str | None) -> float:
        """Seconds that the slice is billed for beside the gang that takes it now."""
        if slice_name is None:
            return 0.0
        since = self.ledger.given_back.get(slice_name)
        return self.before.tariff.kept_s(None if since is None else self.now - since)

    def ask_to_stop(self, run: Run, why: str) -> None:
        """Ask the run's gang to checkpoint and end; one that has nothing to save yet is killed."""
        attempt = run.attempt
        if attempt is None:
            return
        if attempt.phase not in (GangPhase.STARTING, GangPhase.RUNNING):
            if why not in ("drain", "budget"):  # it ends anyway; what comes after is the person's to say
                due = self.now if attempt.phase is GangPhase.GONE else self.due.get((RUN, run.id))
                self.put(replace(run, attempt=replace(attempt, stop=why)), due)
            return
        if attempt.phase is GangPhase.STARTING or run.of:
            self.kill(run, why)
            return
        attempt = replace(attempt, phase=GangPhase.STOPPING, stop=why, told_at=self.now)
        self.put(replace(run, attempt=attempt), self.now + self.options.stop_grace_s)
        self.actions.append(CheckpointAndStop(attempt.gang))

    def kill(self, run: Run, why: str = "", stacks: bool = False) -> None:
        """Kill what is left of the run's gang; said again at times until it is gone."""
        attempt = run.attempt
        if attempt is None or attempt.phase is GangPhase.GONE:
            return
        attempt = replace(attempt, phase=GangPhase.KILLED, stop=attempt.stop or why, told_at=self.now)
        self.put(replace(run, attempt=attempt), self.now + self.options.kill_again_s)
        self.actions.append(Kill(attempt.gang, stacks))

    def _follow(self, old: Run, run: Run) -> None:
        """Let the evaluations of a training follow it: a checkpoint came or will not come, or has to come again."""
        ended = (Phase.FAILED, Phase.CANCELLED)
        turned = run.phase in ended or old.phase in ended or run.committed < old.committed
        for job in map(self.runs.__getitem__, self.before.evaluations[run.id]):
            found = without_checkpoint(job, self.runs) if turned else job
            if found is job:
                self._index(job)
            else:
                self.put(found, None)

    def _index(self, run: Run) -> None:
        """Keep the sets of runs that may start in step."""
        need = (run.kind, run.count)
        place = 1 << self.before.place_of[run.id]
        before = self.ready.get(need, 0)
        waits = run.phase is Phase.WAITING and run.attempt is None and run.not_before <= self.now
        may_start = waits and has_its_checkpoint(run, self.runs)
        after = before | place if may_start else before & ~place
        if after != before:
            self.ready = self.ready.set(need, after)
            self.place_again = self.place_again or may_start
