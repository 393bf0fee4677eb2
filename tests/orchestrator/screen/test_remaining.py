"""The time to go converges: over whole simulated campaigns the end that is said comes near the end that was."""

from dataclasses import replace

import pytest

from dit_grid.orchestrator import core
from dit_grid.orchestrator.core.events import Gang
from dit_grid.orchestrator.core.state import Attempt
from dit_grid.orchestrator.screen.remaining import remaining_s
from dit_grid.orchestrator.simulation.campaign import simulate
from dit_grid.orchestrator.simulation.cluster import Pace

STEPS = 1200


def campaign(step_s, compile_s, places=2):
    """(now, the end that was said) after every event, and the end. Steps take `step_s` of a run's compute."""
    macs = [1000, 400, 100, 900, 300, 80, 600, 200, 60, 500, 150, 50]  # as a grid is written: sizes, then patches
    runs = [core.Run(f"r{n:02d}", "cpu", 1, steps=STEPS, macs_per_step=m, report_steps=50) for n, m in enumerate(macs)]
    paces = {run.id: Pace(step_s(run.macs_per_step), 600, report_every=50, evaluate_every=600, evaluation_s=4.0,
                          start_s=8.0, compile_s=compile_s, checkpoint_s=0.5) for run in runs}  # fmt: skip
    said = []

    def watch(state):
        left = remaining_s(state)
        if left is not None and not state.finished:
            said.append((state.now, state.now + left))

    return said, simulate(runs, paces, {}, pools={"cpu": places}, watch=watch).makespan_h * 3600


def errors(said, end):
    """How far the end that was said is off, as a share of the whole, at a tenth, a quarter, half and nine tenths."""
    return [
        abs(next(guess for now, guess in said if now >= share * end) - end) / end for share in (0.1, 0.25, 0.5, 0.9)
    ]


@pytest.mark.parametrize(
    ("step_s", "compile_s", "most"),
    [
        (lambda macs: 1e-4 * macs, 20.0, [0.25, 0.15, 0.1, 0.03]),
        (lambda macs: 0.02 + 2e-5 * macs, 20.0, [0.25, 0.15, 0.1, 0.03]),  # most of a small step is no arithmetic
        (lambda macs: 1e-5 * macs, 60.0, [0.3, 0.15, 0.1, 0.05]),  # compiling takes longer than training
    ],
)
def test_the_end_that_is_said_comes_near_the_end(step_s, compile_s, most):
    said, end = campaign(step_s, compile_s)
    found = errors(said, end)
    assert all(error <= limit for error, limit in zip(found, most, strict=True)), found


def test_nothing_is_said_before_a_step_was_seen():
    run = core.Run("a", "cpu", 1, steps=10)
    assert remaining_s(core.initial([run], core.State().options)) is None


def test_what_only_the_first_starts_take_is_not_counted_for_those_that_come_after():
    """One starts a process, 60 s; the six after it find it, and take the 4 s beside its steps that it has so far."""
    first = core.Run("a", "cpu", 1, steps=100, macs_per_step=10, phase=core.Phase.RUNNING, attempt=begun(
        Gang("a", 1), asked_at=0.0, heard_at=60.0, step=50, advanced_at=69.0))  # fmt: skip
    rest = [core.Run(f"b{n}", "cpu", 1, steps=100, macs_per_step=10, report_steps=10) for n in range(6)]
    state = replace(core.initial(rest, core.State().options), now=69.0)
    state = replace(state, runs=state.runs.set("a", first), order=("a", *state.order))
    assert remaining_s(state) == pytest.approx(5 + 6 * (10 + 4))


def begun(gang, **said):
    """An attempt that trains, a step in 0.1 s."""
    return Attempt(gang, None, 1, resumed=0, activity="training", step_times=(0.1,) * 5, **said)
