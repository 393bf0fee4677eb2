"""The scheduler's promises, over random histories of starts, losses, failures, requests and changes of the cluster."""

import copy

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dit_grid.experiments.spec.cluster import BudgetSpec, ClusterSpec
from dit_grid.experiments.training.failures import FAILURE_CLASSES
from dit_grid.orchestrator import core
from dit_grid.orchestrator.core import FINAL, GangPhase, Phase, Run
from dit_grid.orchestrator.core.events import (
    Asked,
    ClusterSeen,
    Gang,
    GangGone,
    GangStarted,
    Progressed,
    RankEnded,
    RankLost,
    Reordered,
    SliceDraining,
    SliceSeen,
    Start,
    StartFailed,
    Tick,
)
from dit_grid.orchestrator.core.invariants import full

KINDS = ("cpu", "v3-8", "v3-32")
HOSTS = {"v3-8": 1, "v3-32": 4}
SLICES = ("v3-8-a", "v3-8-b", "v3-32-a", "v3-32-b")
OUTCOMES = ["done", "interrupted", "lost", "bad-checkpoint", "a class of the future", *FAILURE_CLASSES]
MESSAGES = ["because", "Gloo AllGather failed: connection reset by peer"]


def seen(at, pools, names, broken=(), draining=()):
    """The cluster with the named slices, some without their first host, some draining."""
    slices = []
    for name in names:
        kind = name.rsplit("-", 1)[0]
        hosts = tuple(None if name in broken and i == 0 else f"{name}-{i}" for i in range(HOSTS[kind]))
        slices.append(SliceSeen(name, kind, hosts, name in draining))
    return ClusterSeen(at, pools, tuple(slices))


class Scheduler(RuleBasedStateMachine):
    """Plays cluster, people and clock; keeps its own books of who runs where, and of every step that ran."""

    @initialize(
        runs=st.lists(
            st.tuples(st.sampled_from(KINDS), st.integers(1, 3), st.integers(-1, 1), st.integers(0, 2), st.booleans()),
            min_size=1, max_size=9,
        ),
        slices_cap=st.sampled_from([None, 1, 3]),
        hours_cap=st.sampled_from([None, 0.5, 40.0]),
        order=st.sampled_from(["spec", "cheapest", "largest"]),
        measured=st.sets(st.tuples(st.integers(0, 8), st.sampled_from([100, 500, 1000])), max_size=6),
    )  # fmt: skip
    def begin(self, runs, slices_cap, hours_cap, order, measured):
        options = ClusterSpec(
            order=order, stop_grace_s=60, backoff_max_s=60, budget=BudgetSpec(slices=slices_cap, slice_hours=hours_cap)
        )
        known = [
            Run(f"run-{i}", kind, count if kind == "cpu" else 1, priority, retries, steps=1000, macs_per_step=7 + i,
                seconds_per_step=1.0 if paced else None)
            for i, (kind, count, priority, retries, paced) in enumerate(runs)
        ]  # fmt: skip
        known += [
            Run(f"run-{i}.eval-{step}", "v3-8", 1, steps=1, macs_per_step=11, of=f"run-{i}", at_step=step)
            for i, step in sorted(measured) if i < len(runs)
        ]  # fmt: skip
        self.state = core.initial(known, options)
        self.at = 0.0
        self.gangs: dict[Gang, str | None] = {}
        self.resumed: dict[Gang, int] = {}
        self.reached: dict[Gang, int] = {}
        self.checkpoint = dict.fromkeys(self.state.runs, 0)
        self.ended: set[str] = set()
        self.history: list = []
        self.tell(seen(0.0, {"cpu": 3}, SLICES))

    def tell(self, event):
        before, frozen = self.state, copy.copy(self.state)
        self.state, actions = core.advance(before, event)
        assert before == frozen, "advance changed the state it was given"
        self.history.append((event, actions))
        for action in actions:
            if isinstance(action, Start):
                gang = action.gang
                assert gang.run_id not in {g.run_id for g in self.gangs}, "a run was started while it ran"
                assert action.slice is None or action.slice not in self.gangs.values(), "a slice was given twice"
                assert not self.state.stopping, "a run was started while the grid stops"
                run = self.state.runs[gang.run_id]
                there = not run.of or self.checkpoint[run.of] >= run.at_step
                assert there, "a checkpoint was to be measured that is not there"
                self.gangs[gang] = action.slice
                self.ended.discard(gang.run_id)
                if run.of:
                    self.checkpoint[gang.run_id] = 0

    def some(self, data, pick=lambda gang: True):
        found = sorted(gang for gang in self.gangs if pick(gang))
        return data.draw(st.sampled_from(found)) if found else None

    def vanish(self, gang, event):
        del self.gangs[gang]
        self.tell(event)

    @rule(data=st.data(), adopted=st.booleans())
    def a_gang_comes_up(self, data, adopted):
        if gang := self.some(data):
            self.tell(GangStarted(self.at, gang, self.gangs[gang], adopted))

    @rule(data=st.data(), permanent=st.booleans())
    def a_start_fails(self, data, permanent):
        if gang := self.some(data, lambda g: g not in self.resumed):
            self.vanish(gang, StartFailed(self.at, gang, "no host", permanent))

    @rule(data=st.data(), steps=st.integers(0, 300), saved=st.booleans(), activity=st.sampled_from(
        ["starting", "training", "evaluating"]))  # fmt: skip
    def a_gang_trains(self, data, steps, saved, activity):
        if gang := self.some(data):
            first = self.checkpoint[gang.run_id]
            if self.state.runs[gang.run_id].of:
                self.resumed[gang] = self.reached[gang] = 0
                self.tell(Progressed(self.at, gang, 0, first, activity))
                return
            if gang not in self.resumed:  # its newest checkpoint cannot be read, now and then
                first = data.draw(st.sampled_from([first, max(first - 50, 0)]))
                self.resumed[gang] = self.reached[gang] = first
                self.tell(Progressed(self.at, gang, first, self.checkpoint[gang.run_id], "starting"))
            self.reached[gang] = min(self.reached[gang] + steps, 999)
            if saved:
                self.checkpoint[gang.run_id] = self.reached[gang]
            self.tell(Progressed(self.at, gang, self.reached[gang], self.checkpoint[gang.run_id], activity))

    @rule(data=st.data(), rank=st.integers(0, 3), outcome=st.sampled_from(OUTCOMES), message=st.sampled_from(MESSAGES))
    def a_rank_ends(self, data, rank, outcome, message):
        if gang := self.some(data, lambda g: g in self.resumed):
            if outcome == "done":
                self.reached[gang] = self.checkpoint[gang.run_id] = self.last(gang)
                self.ended |= {gang.run_id} if rank == 0 else set()
            self.tell(RankEnded(self.at, gang, rank, outcome, self.reached[gang], message))

    @rule(data=st.data(), cause=st.sampled_from(["process", "host", "drain", "unreachable"]))
    def a_rank_is_lost(self, data, cause):
        if gang := self.some(data):
            self.tell(RankLost(self.at, gang, 0, cause, "gone"))

    @rule(data=st.data())
    def a_gang_is_gone(self, data):
        if gang := self.some(data):
            said = data.draw(st.booleans()) and gang.run_id in self.ended
            self.vanish(gang, GangGone(self.at, gang, self.checkpoint[gang.run_id], said))

    def last(self, gang):
        return self.state.runs[gang.run_id].steps

    @rule(data=st.data())
    def old_news_comes_again(self, data):
        over = [Gang(run.id, start) for run in self.state.in_order() for start in range(1, run.starts + 1)]
        over = [gang for gang in over if gang not in self.gangs]
        if over:
            gang = data.draw(st.sampled_from(over))
            news = [GangGone(self.at, gang, 0), RankLost(self.at, gang, 0, "host"), StartFailed(self.at, gang, "late"),
                    Progressed(self.at, gang, 5, 0)]  # fmt: skip
            self.tell(data.draw(st.sampled_from(news)))

    @rule(pools=st.dictionaries(st.just("cpu"), st.integers(0, 4)), names=st.sets(st.sampled_from(SLICES)),
          broken=st.sets(st.sampled_from(SLICES)), draining=st.sets(st.sampled_from(SLICES)))  # fmt: skip
    def the_cluster_changes(self, pools, names, broken, draining):
        self.tell(seen(self.at, pools, sorted(names), broken, draining))

    @rule(name=st.sampled_from(SLICES))
    def a_slice_will_be_taken(self, name):
        self.tell(SliceDraining(self.at, name, self.at + 30))

    @rule(passed=st.sampled_from([0.5, 3.0, 30.0, 600.0, 5000.0]))
    def time_passes(self, passed):
        self.at += passed
        self.tell(Tick(self.at))

    @rule(data=st.data(), what=st.sampled_from(["cancel", "pause", "enough", "resume", "retry"]))
    def somebody_asks(self, data, what):
        ids = data.draw(st.sets(st.sampled_from([*self.state.order, "a run of another store"])))
        self.tell(Asked(self.at, what, tuple(sorted(ids)), "its end is known" if what == "enough" else ""))

    @rule(data=st.data())
    def results_say_what_is_worth_most(self, data):
        ids = data.draw(st.lists(st.sampled_from([*self.state.order, "a run of another store"]), unique=True))
        self.tell(Reordered(self.at, tuple(ids)))

    @precondition(lambda self: len(self.history) > 10)
    @rule()
    def somebody_asks_to_stop(self):
        self.tell(Asked(self.at, "stop"))

    @invariant()
    def every_promise_holds(self):
        if not hasattr(self, "state"):
            return
        full(self.state)
        active = {run.attempt.gang: run.attempt for run in self.state.in_order() if run.attempt is not None}
        held = {gang for gang, attempt in active.items() if attempt.phase is not GangPhase.GONE}
        assert held | set(self.state.strays) == set(self.gangs), "what runs is not what is thought to run"
        budget = self.state.options.budget
        if budget.slice_hours is not None and self.state.spending.exhausted:
            asked = [a.stop or a.evidence or a.phase is GangPhase.KILLED for a in active.values()]
            assert all(asked), "a gang goes on although the budget is spent"

    def teardown(self):
        """Let everything succeed, and time pass: the grid comes to its end, and every run to a stated one."""
        if not hasattr(self, "state"):
            return
        for _ in range(400):
            if self.state.finished:
                break
            self.at += 700.0
            self.tell(seen(self.at, {"cpu": 3}, SLICES))
            paused = tuple(run.id for run in self.state.in_order() if run.phase is Phase.PAUSED)
            self.tell(Asked(self.at, "resume", paused))
            for gang in sorted(self.gangs):
                last = self.checkpoint[gang.run_id] = self.last(gang)
                self.tell(GangStarted(self.at, gang, self.gangs[gang]))
                self.tell(RankEnded(self.at, gang, 0, "done", last))
                self.vanish(gang, GangGone(self.at, gang, last))
        assert self.state.finished, "the grid never ends"
        full(self.state)
        for run in self.state.in_order():
            allowed = self.state.stopping or self.state.blocked
            assert run.phase in FINAL or allowed, f"{run.id} is {run.phase}: {core.why(self.state, run.id)}"


Scheduler.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestScheduler = Scheduler.TestCase
