"""What is left on this machine: as many runs at once as fit, each as soon as it does, and none that is done."""

from dataclasses import replace

import pytest

from dit_grid.experiments.spec import any_run, load_spec
from dit_grid.experiments.spec.execution import ResourceSpec
from dit_grid.orchestrator.planning.plan import plan
from dit_grid.orchestrator.planning.wall_time import steps_done, wall_time

ONE_RATE = 10.0
CORES = ResourceSpec(cpus=2)


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


def three(planned, hours, **changes):
    """S/4 twice and B/4, which take so long, as a spec and its rows."""
    spec, rows = planned
    small, large = spec.runs
    runs = (small, any_run.shortened(small, 100, 10), large)
    took = [replace(row, hours=one / 3600) for row, one in zip((rows[0], rows[0], rows[1]), hours, strict=True)]
    return spec.model_copy(update={"runs": runs, **changes}), took


def test_runs_start_in_the_order_of_the_launch(planned):
    """On two cores the longest, last in the spec, starts first where the largest do: 40 s, not 50."""
    spec, rows = three(planned, (10, 10, 40))
    assert 3600 * wall_time(spec, rows, {}, 2).hours == pytest.approx(50)
    spec, rows = three(planned, (10, 10, 40), cluster=spec.cluster.model_copy(update={"order": "largest"}))
    assert 3600 * wall_time(spec, rows, {}, 2).hours == pytest.approx(40)


def test_what_is_too_large_for_what_is_free_is_passed(planned):
    """On three cores the run of one core and 60 s starts beside the first of two; behind the second it took 80 s."""
    spec, rows = three(planned, (20, 20, 60))
    fits = spec.runs[:2]
    wide = [r.model_copy(update={"execution": r.execution.model_copy(update={"resources": CORES})}) for r in fits]
    wall = wall_time(spec.model_copy(update={"runs": (*wide, spec.runs[2])}), rows, {}, 3)
    assert (3600 * wall.hours, wall.at_once) == (pytest.approx(60), 2)


def test_many_runs_of_many_widths_start_each_as_soon_as_it_fits(planned):
    """The end is that of a plain search through all that wait, for 60 runs of 1 to 3 cores and two priorities."""
    spec, rows = planned
    runs, took = [], []
    for number in range(60):
        resources, priority = ResourceSpec(cpus=1 + number * 7 % 3), number * 5 % 2
        execution = spec.runs[0].execution.model_copy(update={"resources": resources, "priority": priority})
        changed = spec.runs[0].model_copy(update={"execution": execution, "seed": number})
        runs.append(type(changed).model_validate(changed.model_dump()))  # which has an id of its own
        took.append(replace(rows[0], hours=(1 + number * 11 % 17) / 3600))
    wall = wall_time(spec.model_copy(update={"runs": tuple(runs)}), took, {}, 5)
    waiting = sorted(zip(runs, took, strict=True), key=lambda one: -one[0].execution.priority)
    free, now, ends = 5, 0.0, []
    while waiting:
        first = waiting[0][0].execution.priority
        fits = [one for one in waiting if one[0].execution.resources.cpus <= free
                and one[0].execution.priority == first]  # fmt: skip
        if fits:
            waiting.remove(fits[0])
            free -= fits[0][0].execution.resources.cpus
            ends.append((now + fits[0][1].hours, fits[0][0].execution.resources.cpus))
        else:
            now, freed = min(ends)
            ends.remove((now, freed))
            free += freed
    assert wall.hours == pytest.approx(max(end for end, _ in ends))
    assert wall.hours > sum(row.hours for row in took) / 5
