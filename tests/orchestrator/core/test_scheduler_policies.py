"""What the scheduler does about each way in which a gang ends, and in which order and at what cost it starts runs."""

import pytest

from dit_grid.experiments.spec.cluster import BudgetSpec, ClusterSpec
from dit_grid.orchestrator import core
from dit_grid.orchestrator.core import Phase, Run
from dit_grid.orchestrator.core.endings import is_of_a_peer
from dit_grid.orchestrator.core.events import (
    Asked,
    CheckpointAndStop,
    ClusterSeen,
    Gang,
    GangGone,
    GangStarted,
    Kill,
    Progressed,
    RankEnded,
    RankLost,
    SliceDraining,
    SliceSeen,
    Start,
    StartFailed,
    Tick,
)

GLOO = "XlaRuntimeError: UNKNOWN: Gloo AllGather failed: connection reset by peer"


def v3_32(name, broken=False, draining=False):
    hosts = tuple(f"{name}-{worker}" for worker in range(4))
    return SliceSeen(name, "v3-32", (None, *hosts[1:]) if broken else hosts, draining)


class Grid:
    """A core under test: events in at `at`, actions out."""

    def __init__(self, *runs, slices=("a", "b"), pools=None, **options):
        self.state, self.at = core.initial(runs, ClusterSpec(**options)), 0.0
        self.pools = pools or {}
        self.first = self.tell(ClusterSeen(0.0, self.pools, tuple(map(v3_32, slices))))

    def tell(self, event):
        self.state, actions = core.advance(self.state, event)
        return actions

    def wait(self, seconds):
        """Let time pass, with a tick at every deadline on the way, and return every action."""
        end, actions = self.at + seconds, ()
        while (due := self.state.next_deadline) is not None and due <= end:
            actions += self.tell(Tick(due))
        self.at = end
        return actions + self.tell(Tick(end))

    def up(self, gang, step=0):
        """The gang starts and trains from a checkpoint at `step`."""
        attempt = self.state.runs[gang.run_id].attempt
        assert attempt is not None, f"{gang} was not started"
        self.tell(GangStarted(self.at, gang, attempt.slice))
        self.tell(Progressed(self.at, gang, step, step, "training"))

    def run(self, run_id="x"):
        return self.state.runs[run_id]


def one(**fields):
    return Run("x", "v3-32", 1, **{"steps": 1000, "macs_per_step": 3, **fields})


X1, X2 = Gang("x", 1), Gang("x", 2)


def test_a_lost_host_is_a_preemption_although_the_survivor_says_error_first():
    grid = Grid(one(max_retries=0))
    grid.up(X1)
    assert grid.tell(RankEnded(0.8, X1, 1, "error", 10, GLOO)) == (Kill(X1),)
    assert grid.tell(GangGone(1.0, X1, 0)) == ()
    assert grid.tell(RankLost(2.5, X1, 0, "host", "node died")) == (Start(X2, "b"),)
    assert grid.run().past[0].outcome == "preempted"


@pytest.mark.parametrize("said", ["bad-input", "out-of-memory"])
def test_words_of_a_lost_peer_make_no_class_that_is_not_tried_again(said):
    grid = Grid(one())
    grid.up(X1)
    grid.tell(RankEnded(0.8, X1, 0, said, 10, "ValueError: UNKNOWN: Gloo all-reduce failed: Read error"))
    grid.tell(GangGone(1.0, X1, 0))
    assert grid.run().phase is Phase.RUNNING  # open until the settle window ends
    grid.wait(4)
    assert (grid.run().phase, grid.run().past[0].outcome) == (Phase.WAITING, "infrastructure")


def test_a_host_missing_from_the_cluster_is_evidence_too():
    grid = Grid(one(max_retries=0))
    grid.up(X1)
    grid.tell(RankEnded(0.8, X1, 1, "error", 10, GLOO))
    grid.tell(GangGone(1.0, X1, 0))
    grid.tell(ClusterSeen(2.0, {}, (v3_32("a", broken=True), v3_32("b"))))
    grid.wait(4)
    assert (grid.run().past[0].outcome, grid.run().attempt.slice) == ("preempted", "b")


def test_an_error_in_the_code_fails_at_once_after_the_settle_window():
    grid = Grid(one())
    grid.up(X1)
    grid.tell(RankEnded(1.0, X1, 0, "error", 10, "TypeError: x"))
    grid.tell(RankLost(1.5, X1, 2, "process", "aborted after its sibling's error"))
    grid.tell(GangGone(1.6, X1, 0))
    assert grid.run().phase is Phase.RUNNING  # still open
    grid.wait(4.1)
    assert (grid.run().phase, grid.run().reason) == (Phase.FAILED, "error: TypeError: x")


def test_a_single_process_needs_no_window():
    grid = Grid(Run("x", "cpu", 1, steps=10), slices=(), pools={"cpu": 1})
    grid.up(X1)
    grid.tell(RankEnded(1.0, X1, 0, "error", 0, "TypeError: x"))
    grid.tell(GangGone(1.0, X1, 0))
    assert grid.run().phase is Phase.FAILED


def test_a_lost_process_is_an_infrastructure_error_with_growing_patience_and_a_bound():
    grid = Grid(one(max_retries=2))
    waits = []
    for start in (1, 2, 3):
        gang = Gang("x", start)
        grid.up(gang)
        grid.tell(RankLost(grid.at, gang, 0, "process", "SIGKILL"))
        grid.tell(GangGone(grid.at, gang, 0))
        grid.wait(3.0)
        waits.append(grid.run().not_before - grid.at)
        while grid.run().phase is Phase.WAITING:
            grid.wait(1.0)
    assert (grid.run().phase, grid.run().starts) == (Phase.FAILED, 3)
    assert "infrastructure: SIGKILL (no progress in 3 attempts" in grid.run().reason
    assert 5.0 <= waits[0] < 7.0 < waits[1] < 13.0


def storage_failures(message, times):
    """A run without retries after so many failures of its store in a row, with patience between them."""
    grid = Grid(one(max_retries=0))
    for start in range(1, times + 1):
        gang = Gang("x", start)
        grid.up(gang)
        grid.tell(RankEnded(grid.at, gang, 0, "storage", 0, message))
        grid.tell(GangGone(grid.at, gang, 0))
        grid.wait(3.0)
        while grid.run().phase is Phase.WAITING:
            grid.wait(10.0)
    return grid.run()


def test_a_store_that_is_full_or_does_not_answer_is_waited_for_however_long():
    for message in ("cannot write x: the disk is full: free space", "Google Cloud Storage did not answer"):
        run = storage_failures(message, 8)
        assert (run.phase, run.starts) == (Phase.RUNNING, 9)


def test_a_store_that_refuses_is_tried_as_often_as_any_failure():
    run = storage_failures("cannot write x: permission denied: the store is read-only for this user", 1)
    assert run.phase is Phase.FAILED
    assert "storage: cannot write x: permission denied" in run.reason


def test_progress_renews_the_bound():
    grid = Grid(one(max_retries=1))
    for start in range(1, 6):
        gang = Gang("x", start)
        grid.up(gang, step=(start - 1) * 100)
        grid.tell(RankLost(grid.at, gang, 0, "process"))
        grid.tell(GangGone(grid.at, gang, start * 100))
        grid.wait(20)
    assert (grid.run().phase, grid.run().step, grid.run().starts) == (Phase.RUNNING, 500, 6)


def test_no_new_step_is_a_hang_after_three_times_the_slowest_report():
    grid = Grid(one())
    grid.up(X1)
    for step in range(1, 6):
        grid.at += 100
        grid.tell(Progressed(grid.at, X1, step, 0, "training"))
    assert grid.wait(299) == ()
    grid.tell(Progressed(grid.at, X1, 5, 0, "training"))  # the same word again is no progress
    assert grid.wait(2) == (Kill(X1, stacks=True),)
    grid.tell(GangGone(grid.at, X1, 0))
    grid.wait(3)
    assert grid.run().reason.startswith("no-progress: no new step after 5 while training")
    grid.wait(30)
    assert grid.run().attempt.slice == "b"


def test_a_report_of_few_steps_does_not_make_the_next_one_late():
    """After a checkpoint on notice the first report covers what was left of a window; the next covers a whole one."""
    grid = Grid(one(report_steps=1000, steps=10_000))
    grid.up(X1, step=990)
    grid.at = 10.0
    grid.tell(Progressed(10.0, X1, 1000, 0, "training"))
    assert grid.wait(2900) == ()
    assert grid.wait(200)[:1] == (Kill(X1, stacks=True),)


def test_evaluating_and_starting_have_more_patience():
    grid = Grid(one())
    grid.up(X1)
    for step in range(1, 4):
        grid.at += 10
        grid.tell(Progressed(grid.at, X1, step, 0, "training"))
    grid.tell(Progressed(grid.at, X1, 3, 0, "evaluating"))
    assert grid.wait(10_000) == ()
    assert grid.wait(5_000)[:1] == (Kill(X1, stacks=True),)


@pytest.mark.parametrize("outcome", ["nan", "out-of-memory", "bad-input", "superseded"])
def test_what_would_fail_again_is_not_tried_again(outcome):
    grid = Grid(one())
    grid.up(X1)
    grid.tell(RankEnded(1.0, X1, 2, "error", 400, GLOO))
    grid.tell(RankEnded(1.1, X1, 0, outcome, 400, "why; the last good checkpoint is at step 400"))
    grid.tell(GangGone(2.0, X1, 400))
    assert grid.run().phase is Phase.FAILED
    assert grid.run().reason.startswith(f"{outcome}: why; the last good checkpoint is at step 400")
    assert ("execution.remat" in grid.run().reason) == (outcome == "out-of-memory")


def test_a_permanent_configuration_error_costs_one_attempt():
    grid = Grid(one())
    grid.tell(StartFailed(1.0, X1, "topology 2x2 of v3", permanent=True))
    assert (grid.run().phase, grid.run().starts) == (Phase.FAILED, 1)
    assert "configuration: topology 2x2 of v3" in grid.run().reason


def test_a_failed_start_goes_elsewhere_and_a_slice_that_fails_twice_is_put_aside():
    grid = Grid(one(), slices=("a", "b"), strikes=2)
    grid.tell(StartFailed(0.0, X1, "a host never joined"))
    grid.wait(10)
    assert grid.run().attempt.slice == "b"
    grid.tell(StartFailed(grid.at, X2, "a host never joined"))
    grid.wait(20)
    assert grid.run().attempt.slice == "a"
    grid.tell(StartFailed(grid.at, Gang("x", 3), "a host never joined"))
    grid.wait(30)
    assert grid.run().attempt.slice == "b"
    assert grid.state.ledger.free.get("v3-32") == ()  # a is in quarantine


def test_a_draining_slice_gets_its_checkpoint_and_the_run_goes_on_elsewhere():
    grid = Grid(one(max_retries=0))
    grid.up(X1)
    assert grid.tell(SliceDraining(5.0, "a", 35.0)) == (CheckpointAndStop(X1),)
    grid.tell(RankEnded(9.0, X1, 0, "interrupted", 700))
    assert grid.tell(GangGone(9.5, X1, 700)) == (Start(X2, "b"),)
    assert (grid.run().step, grid.run().wasted_steps) == (700, 0)


def test_a_notice_that_comes_to_nothing_gives_the_slice_back():
    grid = Grid(Run("x", "v3-32", 1, steps=10), slices=("a",))
    grid.up(X1)
    grid.tell(SliceDraining(0.0, "a", 30.0))
    grid.tell(GangGone(5.0, X1, 7))
    assert core.why(grid.state, "x").startswith("waits for 1 x v3-32; 0 of 1 free")
    assert grid.wait(80) == ()
    assert grid.wait(11) == (Start(X2, "a"),)


def test_a_run_that_is_taken_away_before_its_first_step_again_and_again_does_not_spin():
    grid = Grid(one(max_retries=0), slices=("a",))
    starts = 0
    while grid.at < 3600 and starts < 100:
        attempt = grid.run().attempt
        if attempt is not None:
            starts += 1
            grid.tell(RankLost(grid.at, attempt.gang, 0, "host", "flapping"))
            grid.tell(GangGone(grid.at, attempt.gang, 0))
        grid.wait(1)
    assert 5 < starts < 20
    assert grid.run().phase is not Phase.FAILED  # a preemption never is the run's fault


def test_a_gang_that_does_not_stop_is_killed_and_killed_again():
    grid = Grid(one(), stop_grace_s=60)
    grid.up(X1)
    assert grid.tell(Asked(0.0, "pause", ("x",))) == (CheckpointAndStop(X1),)
    assert grid.wait(59) == ()
    assert grid.wait(1) == (Kill(X1),)
    assert grid.wait(30) == (Kill(X1),)
    grid.tell(GangGone(grid.at, X1, 0))
    assert grid.run().phase is Phase.PAUSED


def test_a_checkpoint_that_cannot_be_read_turns_its_steps_into_waste():
    grid = Grid(one(max_retries=3))
    grid.up(X1)
    grid.tell(Progressed(1.0, X1, 500, 500))
    grid.tell(RankLost(2.0, X1, 0, "host"))
    grid.tell(GangGone(2.0, X1, 500))
    grid.up(X2, step=300)
    grid.tell(Progressed(3.0, X2, 600, 600))
    grid.tell(RankEnded(4.0, X2, 0, "done", 1000))
    grid.tell(GangGone(4.0, X2, 1000))
    assert grid.state.compute == (1200 * 3, 1000 * 3, 200 * 3)


def test_priority_goes_first_then_the_order_asked_for():
    runs = [Run(f"r{i}", "cpu", 1, priority=p, steps=s, macs_per_step=1) for i, (p, s) in
            enumerate([(0, 30), (1, 10), (1, 20), (0, 10)])]  # fmt: skip
    for order, expected in (
        ("spec", ["r1", "r2", "r0", "r3"]),
        ("cheapest", ["r1", "r2", "r3", "r0"]),
        ("largest", ["r2", "r1", "r0", "r3"]),
    ):  # fmt: skip
        assert [a.gang.run_id for a in Grid(*runs, slices=(), pools={"cpu": 4}, order=order).first] == expected


def test_a_large_run_of_higher_priority_is_not_passed_and_one_of_the_same_is():
    small, large = Run("small", "gpu", 1), Run("large", "gpu", 4, priority=1)
    grid = Grid(Run("first", "gpu", 2, priority=2), large, small, slices=(), pools={"gpu": 4})
    assert [a.gang.run_id for a in grid.first] == ["first"]
    assert "higher priority" in core.why(grid.state, "small")
    equal = Grid(Run("first", "gpu", 2, priority=2), Run("large", "gpu", 4), small, slices=(), pools={"gpu": 4})
    assert [a.gang.run_id for a in equal.first] == ["first", "small"]


def test_what_the_cluster_has_not_is_waited_for_with_the_reason():
    grid = Grid(one(), Run("big", "v3-256", 1), slices=("a",))
    assert core.why(grid.state, "big") == "needs 1 x v3-256, the cluster has 0"
    grid.tell(ClusterSeen(1.0, {}, (v3_32("a", broken=True),)))
    assert "1 broken or leaving" in core.why(Grid(one(), slices=()).state, "x") or grid.run().attempt is not None


def test_a_cap_on_slices_holds_and_says_so():
    grid = Grid(one(), Run("y", "v3-32", 1), budget=BudgetSpec(slices=1))
    assert len(grid.first) == 1
    assert "1 of at most 1 slices" in core.why(grid.state, "y")


def test_no_run_starts_that_the_money_left_cannot_finish():
    first, second = (Run(n, "v3-32", 1, steps=3600, seconds_per_step=1.0, usd_per_hour=10.0) for n in "xy")
    grid = Grid(first, second, budget=BudgetSpec(usd=15, of="held"), stop_grace_s=60)
    assert [a.gang.run_id for a in grid.first] == ["x"]
    assert "0 of 15 USD held and 10 spoken for; this run needs 10" in core.why(grid.state, "y")
    grid.up(X1)
    grid.at = 3600.0
    grid.tell(RankEnded(3600.0, X1, 0, "done", 3600))
    grid.tell(GangGone(3600.0, X1, 3600))
    assert grid.state.finished
    assert grid.state.blocked
    assert grid.state.spending.usd == pytest.approx(10.0)


def test_a_run_that_takes_longer_than_thought_is_stopped_before_the_cap():
    grid = Grid(one(), budget=BudgetSpec(slice_hours=1.0, of="held"), stop_grace_s=60, kill_again_s=30)
    grid.up(X1)
    grid.tell(Progressed(1.0, X1, 1, 0, "evaluating"))
    assert grid.wait(3600 - 90 - 1) == ()
    assert grid.wait(1) == (CheckpointAndStop(X1),)
    grid.tell(GangGone(grid.at + 20, X1, 800))
    assert grid.state.finished
    assert grid.state.spending.slice_s <= 3600
    assert "budget: spent" in core.why(grid.state, "x")


def test_gangs_taken_over_with_no_money_left_are_stopped_at_once():
    options = ClusterSpec(budget=BudgetSpec(slice_hours=1.0, of="held"), stop_grace_s=60)
    state = core.initial([one()], options, core.Spending(slice_s=3590.0))
    state, actions = core.advance(state, GangStarted(0.0, X1, "a", adopted=True))
    assert actions == (CheckpointAndStop(X1),)
    assert state.spending.exhausted


def two_hours(*names):
    return [Run(n, "v3-32", 1, steps=7200, seconds_per_step=1.0, usd_per_hour=10.0) for n in names]


def test_slices_are_billed_whether_runs_hold_them_or_not_and_a_second_run_beside_the_first_costs_nothing_more():
    """Two slices at 10 USD for two hours are 40 USD, whoever is on them; a third run after them would be 40 more."""
    grid = Grid(*two_hours("x", "y", "z"), budget=BudgetSpec(usd=45), stop_grace_s=60)
    assert [a.gang.run_id for a in grid.first] == ["x", "y"]
    for gang in (X1, Gang("y", 1)):
        grid.up(gang)
    grid.at = 7200.0
    for gang in (X1, Gang("y", 1)):
        grid.tell(RankEnded(7200.0, gang, 0, "done", 7200))
        grid.tell(GangGone(7200.0, gang, 7200))
    assert (grid.state.spending.billed_usd, grid.state.spending.usd) == (pytest.approx(40), pytest.approx(40))
    assert "40 of 45 USD billed and 0 spoken for; this run needs 40" in core.why(grid.state, "z")
    assert grid.state.finished


def test_no_run_starts_on_slices_that_the_bill_until_its_end_is_too_high_for():
    grid = Grid(*two_hours("x"), budget=BudgetSpec(usd=39), stop_grace_s=60)
    assert grid.first == ()
    assert "0 of 39 USD billed and 0 spoken for; this run needs 40" in core.why(grid.state, "x")


def test_a_bill_that_goes_on_while_nothing_runs_ends_the_launch_too():
    """Two slices, one of them idle: after half an hour an hour is billed; the stop must begin 90 s of each before."""
    grid = Grid(one(), budget=BudgetSpec(slice_hours=1.0), stop_grace_s=60, kill_again_s=30, backoff_s=7200)
    grid.up(X1)
    assert grid.wait(1800 - 90 - 1) == ()
    assert grid.wait(1) == (CheckpointAndStop(X1),)
    idle = Grid(one(), budget=BudgetSpec(slice_hours=1.0), stop_grace_s=60, backoff_s=7200, backoff_max_s=7200)
    idle.up(X1)
    idle.tell(RankEnded(1.0, X1, 0, "storage", 5))
    idle.tell(GangGone(2.0, X1, 0))
    idle.wait(1800)
    assert idle.state.finished
    assert idle.state.spending.billed_s <= 3700 < 2 * 1800 + 101


def test_a_slice_that_was_taken_away_is_billed_on_and_one_in_its_place_is_not_another():
    grid = Grid(one(), slices=("a", "b"))
    grid.tell(ClusterSeen(100.0, {}, (v3_32("a"),)))
    grid.tell(ClusterSeen(300.0, {}, (v3_32("a"), v3_32("c"))))
    grid.wait(1000)
    assert grid.state.spending.billed_s == pytest.approx(2 * 1000)


def test_cores_are_billed_while_they_are_held():
    runs = [Run(n, "cpu", 2, steps=100, usd_per_hour=4.0) for n in "xy"]
    grid = Grid(*runs, slices=(), pools={"cpu": 2})
    grid.wait(3600)
    assert (grid.state.spending.billed_s, grid.state.spending.billed_usd) == (3600, pytest.approx(4))


def test_cancel_pause_resume_and_retry():
    grid = Grid(one(), Run("y", "v3-32", 1), slices=("a",))
    grid.tell(Asked(0.0, "cancel", ("y",)))
    assert grid.run("y").phase is Phase.CANCELLED
    grid.up(X1)
    grid.tell(Asked(0.0, "pause", ("x",)))
    assert grid.tell(GangGone(1.0, X1, 50)) == ()
    assert (grid.run().phase, grid.state.finished) == (Phase.PAUSED, False)
    assert grid.tell(Asked(2.0, "retry", ("y",))) == (Start(Gang("y", 1), "a"),)
    grid.tell(RankEnded(3.0, Gang("y", 1), 0, "done", 10))
    grid.tell(GangGone(3.0, Gang("y", 1), 10))
    assert grid.tell(Asked(4.0, "resume", ("x",))) == (Start(X2, "a"),)


def test_a_cancelled_run_stays_cancelled_when_its_slice_dies_meanwhile():
    grid = Grid(one())
    grid.up(X1)
    grid.tell(Asked(0.0, "cancel", ("x",)))
    grid.tell(RankLost(1.0, X1, 0, "host"))
    assert grid.tell(GangGone(1.0, X1, 0)) == ()
    assert grid.run().phase is Phase.CANCELLED


def test_a_stop_asks_every_gang_once_and_starts_no_other():
    grid = Grid(one(), Run("y", "v3-32", 1), slices=("a",))
    grid.up(X1)
    assert grid.tell(Asked(1.0, "stop")) == (CheckpointAndStop(X1),)
    assert grid.tell(Asked(1.0, "stop")) == ()
    grid.tell(RankEnded(2.0, X1, 0, "interrupted", 50))
    assert grid.tell(GangGone(2.0, X1, 50)) == ()
    assert (grid.state.finished, grid.run().phase, grid.run().step) == (True, Phase.WAITING, 50)


def test_gangs_of_an_earlier_driver_are_taken_over_and_unwanted_ones_ended():
    state = core.initial([one(starts=3, step=200), Run("y", "v3-32", 1, phase=Phase.DONE)])
    state, actions = core.advance(state, GangStarted(0.0, Gang("x", 3), "a", adopted=True))
    assert actions == ()
    state, actions = core.advance(state, GangStarted(0.0, Gang("y", 1), "b", adopted=True))
    assert actions == (Kill(Gang("y", 1)),)
    state, actions = core.advance(state, ClusterSeen(0.0, {}, (v3_32("a"), v3_32("b"))))
    assert (actions, state.runs["x"].phase, state.finished) == ((), Phase.RUNNING, False)
    state, _ = core.advance(state, RankEnded(1.0, Gang("x", 3), 0, "done", 1000))
    state, _ = core.advance(state, GangGone(1.0, Gang("x", 3), 1000))
    assert not state.finished  # the other one still holds its slice
    state, _ = core.advance(state, GangGone(1.0, Gang("y", 1), 0))
    assert state.finished


@pytest.mark.parametrize(
    ("words", "is_one"),
    [
        ("RuntimeError: [pair.cc:553] Connection closed by peer [127.0.0.1]:5531", True),  # gloo, as torch 2.13 says it
        ("torch.distributed.DistBackendError: NCCL error: remote process exited or there was a network error", True),
        ("[Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1, OpType=BROADCAST)", True),
        ("KeyError: 'shard 7'", False),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", False),
    ],
)
def test_the_words_of_a_rank_that_lost_a_sibling_are_known(words, is_one):
    assert is_of_a_peer(words) == is_one
