"""A driver that comes after the cluster changed: gangs it takes over are judged by what is left of them."""

from dit_grid.orchestrator import core
from dit_grid.orchestrator.core import Run
from dit_grid.orchestrator.core.events import ClusterSeen, Gang, GangGone, GangStarted, Kill, SliceSeen

X1 = Gang("x", 1)


def test_the_rest_of_a_gang_whose_host_died_with_its_driver_is_killed_at_once():
    state = core.initial([Run("x", "v3-32", 1, steps=100, macs_per_step=1)])
    state, _ = core.advance(state, GangStarted(0.0, X1, "a", adopted=True))
    broken = SliceSeen("a", "v3-32", ("a-0", None, "a-2", "a-3"))
    _, actions = core.advance(state, ClusterSeen(0.0, {}, (broken,)))
    assert actions == (Kill(X1),)


def test_a_run_whose_end_was_told_to_the_driver_before_is_not_started_again():
    """The store holds its end; the driver that heard `done` died before the gang was gone."""
    state = core.initial([Run("x", "v3-32", 1, steps=100, macs_per_step=1, step=100)])
    slices = tuple(SliceSeen(name, "v3-32", tuple(f"{name}-{i}" for i in range(4))) for name in "ab")
    for event in (GangStarted(0.0, X1, "a", adopted=True), ClusterSeen(0.0, {}, slices)):
        state, _ = core.advance(state, event)
    state, actions = core.advance(state, GangGone(1.0, X1, 100, done=True))
    assert actions == ()
    assert (state.runs["x"].phase, state.finished) == (core.Phase.DONE, True)
