"""The scheduler's promises, over random histories of starts, losses, failures, stops and changes of capacity."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from dit_grid.experiments.failures import FAILURE_CLASSES
from dit_grid.orchestrator import core
from dit_grid.orchestrator.core import CapacityChanged, Ended, Phase, Run, Start, Stop, StopAsked

KINDS = ("cpu", "gpu", "v3-32")


class Scheduler(RuleBasedStateMachine):
    """Plays the cluster: starts what it is told to start, and ends attempts in every possible way."""

    running = Bundle("running")

    @initialize(
        runs=st.lists(
            st.tuples(st.sampled_from(KINDS), st.integers(1, 3), st.integers(-1, 1), st.integers(0, 2)),
            min_size=1,
            max_size=12,
        ),
        capacity=st.dictionaries(st.sampled_from(KINDS), st.integers(1, 5)),
    )
    def begin(self, runs, capacity):
        self.state = core.initial(
            Run(f"run-{i}", kind, count, priority, retries) for i, (kind, count, priority, retries) in enumerate(runs)
        )
        self.asked = set(self.state.runs)
        self.executing: dict[str, int] = {}
        self.attempts: dict[str, int] = dict.fromkeys(self.asked, 0)
        self.tell(CapacityChanged(capacity))

    def tell(self, event):
        self.state, actions = core.advance(self.state, event)
        for action in actions:
            if isinstance(action, Start):
                assert action.run_id not in self.executing, "a run was started while it ran"
                assert not self.state.stopping, "a run was started while the grid stops"
                self.executing[action.run_id] = self.state.runs[action.run_id].step
                self.attempts[action.run_id] += 1
            else:
                assert action.run_id in self.executing

    def some_running(self, data):
        return data.draw(st.sampled_from(sorted(self.executing))) if self.executing else None

    @rule(data=st.data(), outcome=st.sampled_from(["done", "interrupted", core.LOST, *FAILURE_CLASSES]))
    def an_attempt_ends(self, data, outcome):
        run_id = self.some_running(data)
        if run_id is not None:
            step = self.executing.pop(run_id) + data.draw(st.sampled_from([0, 0, 100]))
            self.tell(Ended(run_id, outcome, step, "because"))

    @rule(capacity=st.dictionaries(st.sampled_from(KINDS), st.integers(0, 5)))
    def the_cluster_changes(self, capacity):
        self.tell(CapacityChanged(capacity))

    @rule(data=st.data())
    def an_end_is_told_twice(self, data):
        over = sorted(self.asked - set(self.executing))
        if over:
            before = self.state
            self.tell(Ended(data.draw(st.sampled_from(over)), core.LOST, 0, "late"))
            assert {r.id: r.phase for r in before.runs.values()} == {r.id: r.phase for r in self.state.runs.values()}

    @rule()
    def somebody_asks_to_stop(self):
        self.tell(StopAsked())

    @invariant()
    def no_run_is_lost_or_invented(self):
        assert set(self.state.runs) == self.asked

    @invariant()
    def exactly_the_executing_runs_are_running(self):
        assert {run.id for run in self.state.runs.values() if run.phase is Phase.RUNNING} == set(self.executing)

    @invariant()
    def every_run_that_waits_or_failed_says_why(self):
        for run in self.state.runs.values():
            if run.phase in (Phase.FAILED, Phase.UNPLACEABLE):
                assert run.reason
            if run.phase is Phase.WAITING and not self.state.stopping:
                assert run.reason

    @invariant()
    def attempts_are_counted_exactly(self):
        assert self.attempts == {run.id: run.attempts for run in self.state.runs.values()}

    @invariant()
    def fruitless_attempts_are_bounded(self):
        for run in self.state.runs.values():
            assert run.fruitless <= run.max_retries + 1

    def teardown(self):
        """Let every attempt succeed: the grid comes to its end."""
        if not hasattr(self, "state"):
            return
        for _ in range(10 * len(self.asked) + 10):
            if not self.executing:
                break
            run_id = sorted(self.executing)[0]
            self.tell(Ended(run_id, "done", self.executing.pop(run_id) + 1))
        assert not self.executing


Scheduler.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestScheduler = Scheduler.TestCase


def grid(*runs, **capacity):
    state = core.initial(runs)
    return core.advance(state, CapacityChanged(capacity))


def test_no_more_is_given_out_than_there_is():
    _, actions = grid(*(Run(f"r{i}", "cpu", 1) for i in range(5)), cpu=2)
    assert actions == (Start("r0"), Start("r1"))


def test_a_free_core_goes_to_the_next_run():
    state, _ = grid(Run("a", "cpu", 1), Run("b", "cpu", 1), cpu=1)
    state, actions = core.advance(state, Ended("a", "done", 10))
    assert actions == (Start("b"),)
    state, actions = core.advance(state, Ended("b", "done", 10))
    assert (actions, state.finished) == ((), True)


def test_priority_goes_first_and_equals_keep_their_order():
    _, actions = grid(Run("a", "cpu", 1), Run("b", "cpu", 1, priority=1), Run("c", "cpu", 1, priority=1), cpu=2)
    assert actions == (Start("b"), Start("c"))


def test_a_run_that_needs_what_the_cluster_has_not_says_so_and_lets_others_run():
    state, actions = grid(Run("big", "v3-256", 1), Run("small", "cpu", 1), cpu=1)
    assert actions == (Start("small"),)
    assert state.runs["big"].phase is Phase.UNPLACEABLE
    assert "needs 1 x v3-256, the cluster has 0" in state.runs["big"].reason


def test_a_lost_worker_is_replaced_for_as_long_as_the_run_makes_progress():
    state, _ = grid(Run("a", "cpu", 1, max_retries=1), cpu=1)
    for step in (100, 200, 300, 400):
        state, actions = core.advance(state, Ended("a", core.LOST, step, "host went away"))
        assert actions == (Start("a"),)
    state, actions = core.advance(state, Ended("a", core.LOST, 400, "host went away"))
    assert actions == (Start("a"),)
    state, actions = core.advance(state, Ended("a", core.LOST, 400, "host went away"))
    assert (actions, state.runs["a"].phase) == ((), Phase.FAILED)
    assert "no progress in 2 attempts" in state.runs["a"].reason


@pytest.mark.parametrize("outcome", sorted(set(FAILURE_CLASSES) - core.RETRIED))
def test_what_would_fail_again_is_not_tried_again(outcome):
    state, _ = grid(Run("a", "cpu", 1), cpu=1)
    state, actions = core.advance(state, Ended("a", outcome, 0, "why"))
    assert (actions, state.runs["a"].phase, state.runs["a"].reason) == ((), Phase.FAILED, f"{outcome}: why")


def test_a_stop_asks_every_running_run_once_and_starts_no_other():
    state, _ = grid(Run("a", "cpu", 1), Run("b", "cpu", 1), cpu=1)
    state, actions = core.advance(state, StopAsked())
    assert actions == (Stop("a"),)
    assert core.advance(state, StopAsked())[1] == ()
    state, actions = core.advance(state, Ended("a", "interrupted", 50))
    assert (actions, state.finished, state.runs["a"].phase) == ((), True, Phase.WAITING)
