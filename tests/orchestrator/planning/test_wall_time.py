"""What is left on this machine: as many runs at once as fit, each as soon as it does, and none that is done."""

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.orchestrator.planning.plan import plan
from dit_grid.orchestrator.planning.wall_time import steps_done, wall_time

ONE_RATE = 10.0


@pytest.fixture
def planned(small_spec, tmp_path):
    """The small spec's two runs, S/4 and B/4, at ten updates a second: 200 steps take 20 s and no evaluation."""
    path = small_spec(
        tmp_path / "s.yaml", tmp_path / "store", "train: {steps: 200, batch: 16}\nevaluate: {every: 200}\n"
    )
    spec = load_spec(path)
    return spec, plan(spec, dict.fromkeys([run.id for run in spec.runs], ONE_RATE))


@pytest.mark.parametrize(
    ("cores", "done", "seconds", "at_once"),
    [
        (1, [0, 0], 40, 1), (2, [0, 0], 20, 2), (8, [0, 0], 20, 2), (1, [200, 0], 20, 1), (1, [50, 0], 35, 1),
        (2, [200, 200], 0, 0),
    ],
)  # fmt: skip
def test_the_wall_time_is_that_of_runs_side_by_side(planned, cores, done, seconds, at_once):
    spec, rows = planned
    wall = wall_time(spec, rows, dict(zip([run.id for run in spec.runs], done, strict=True)), cores)
    assert 3600 * wall.hours == pytest.approx(seconds)
    assert wall.at_once == at_once


def test_nothing_is_said_of_runs_that_are_not_for_these_cores(planned):
    spec, rows = planned
    assert wall_time(spec, rows, {}, 0) is None
    assert steps_done(spec) == {}
