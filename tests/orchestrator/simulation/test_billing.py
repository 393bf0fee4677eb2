"""What a cloud bills for is not what runs held: fixed slices to the end, autoscaled ones from coming to going."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from immutables import Map

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.spec.execution import ResourceSpec
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.core import Run, State, Tariff
from dit_grid.orchestrator.planning.plan import plan
from dit_grid.orchestrator.simulation import Faults, Pace, simulate
from dit_grid.orchestrator.simulation.cluster import Scaling
from dit_grid.orchestrator.simulation.of_spec import billed_usd, campaign
from dit_grid.orchestrator.simulation.reservation import Reservation, cheapest, reservations

GRID = Path(__file__).parents[3] / "experiments" / "grid.yaml"
RUN_S = 30 + 60 + 1000 + 1
"""Of a run of 1,000 steps at 1 s: to start, to compile, to train, to end."""


def grid():
    return campaign(load_spec(GRID), {"v3-256": 1, "v3-128": 1, "v3-64": 2, "v3-32": 2}, {}, Faults())


def two_runs(kinds, **more):
    runs = [Run(f"r{i}", kind, 1, steps=1000, usd_per_hour=36.0) for i, kind in enumerate(kinds)]
    return simulate(runs, {run.id: Pace(1.0, 500) for run in runs}, {"v3-32": 1, "v3-64": 2}, **more)


def test_fixed_slices_are_billed_from_the_first_start_to_the_last_end_used_or_not():
    found = two_runs(["v3-32", "v3-32"])
    assert found.makespan_h * 3600 == pytest.approx(2 * RUN_S)
    assert found.slice_hours == pytest.approx(found.makespan_h)
    assert found.up_hours == pytest.approx({"v3-32": found.makespan_h, "v3-64": 2 * found.makespan_h})


def test_autoscaled_slices_are_billed_while_they_come_are_used_and_go():
    """One slice for two runs in turn comes once and is kept between them; the slices that nobody wants cost nothing."""
    found = two_runs(["v3-32", "v3-32"], scaling=Scaling(come_s=400, go_s=200))
    assert found.makespan_h * 3600 == pytest.approx(400 + 2 * RUN_S)
    assert found.up_hours["v3-32"] * 3600 == pytest.approx(400 + 2 * RUN_S + 200, abs=5)
    assert found.up_hours["v3-64"] == 0


@pytest.mark.parametrize("capacity", ["fixed", "autoscaled"])
@pytest.mark.parametrize("seed", range(3))
def test_what_the_scheduler_counts_as_billed_is_what_the_virtual_cluster_was_there_for(capacity, seed):
    """Two books that know nothing of each other, with slices taken away, coming and going."""
    runs = [Run(f"r{i}", ["v3-32", "v3-64"][i % 2], 1, steps=1000 * (1 + i), usd_per_hour=32.0) for i in range(6)]
    states: list[State] = []
    scaling = Scaling(come_s=400, go_s=200) if capacity == "autoscaled" else None
    found = simulate(
        runs, {run.id: Pace(1.0, 500) for run in runs}, {"v3-32": 2, "v3-64": 1}, seed=seed, scaling=scaling,
        faults=Faults(preemption=1.0), tariff=Tariff(Map({"v3-32": 32.0, "v3-64": 32.0}), scaling is None, 200.0),
        watch=states.append,
    )  # fmt: skip
    assert found.preemptions > 0
    assert states[-1].spending.billed_s / 3600 == pytest.approx(found.billed_hours)
    assert states[-1].spending.billed_usd == pytest.approx(32 * found.billed_hours)


@pytest.mark.parametrize("seed", range(3))
def test_drivers_that_die_while_slices_are_away_lose_nothing_of_the_bill(seed):
    """The next driver sees fewer slices, and nobody counted since the last word of the one before."""
    runs = [Run(f"r{i}", ["v3-32", "v3-64"][i % 2], 1, steps=3000, usd_per_hour=32.0) for i in range(6)]
    states: list[State] = []
    found = simulate(
        runs, {run.id: Pace(1.0, 500) for run in runs}, {"v3-32": 2, "v3-64": 2}, seed=seed, watch=states.append,
        faults=Faults(preemption=1.0, back_s=3600.0, driver=4.0),
        tariff=Tariff(Map({"v3-32": 32.0, "v3-64": 32.0})),
    )  # fmt: skip
    drivers = [state for state in states if state.spending.missed is not None]
    assert drivers
    assert states[-1].spending.billed_s / 3600 == pytest.approx(found.billed_hours)
    assert states[-1].spending.billed_usd == pytest.approx(32 * found.billed_hours)


def test_a_slice_that_went_comes_again():
    """The evaluation needs the slice of the first run again after 5,000 s, when it has gone."""
    first = Run("first", "v3-32", 1, steps=1000, macs_per_step=1)
    second = Run("second", "v3-64", 1, steps=5000, macs_per_step=1)
    job = Run("second.eval-5000", "v3-32", 1, steps=1, macs_per_step=1, of="second", at_step=5000)
    paces = {"first": Pace(1.0, 500), "second": Pace(1.0, 5000, 500, measured_every=5000), job.id: Pace(1000.0, 1)}
    found = simulate(
        [first, second, job], paces, {"v3-32": 1, "v3-64": 1}, scaling=Scaling(come_s=400, go_s=200)
    )  # fmt: skip
    assert found.up_hours["v3-32"] * 3600 == pytest.approx(2 * (400 + RUN_S + 200), abs=10)
    assert (found.done, found.evaluated) == (2, 1)


def test_the_grid_of_the_paper_is_billed_twice_what_its_runs_hold():
    """Six slices at 576 USD an hour for as long as L/2 and its like take: arithmetic on the makespan."""
    found = grid().outcome(0)
    assert found.billed_usd == pytest.approx(found.makespan_h * 576)
    assert 1.7 < found.billed_usd / found.usd < 2.1


def test_what_has_no_price_makes_no_bill():
    assert billed_usd(load_spec(GRID).plan, {"v3-32": 2.0, "v3-64": 1.0}) == 2 * 32 + 64
    unpriced = load_spec(GRID).plan.model_copy(update={"price_rows": ()})
    assert billed_usd(unpriced, {"v3-32": 2.0}) is None


def test_the_cheapest_slices_for_a_deadline_are_the_cheapest_of_all_that_can_be_tried():
    """Against every number of slices of two types, up to three of each."""
    spec = load_spec(GRID)
    spec = spec.model_copy(update={"runs": tuple(run for run in spec.runs if run.model.name[0] in "SB")})
    start = campaign(spec, {"v3-32": 1, "v3-64": 1}, {}, Faults())
    every = [
        Reservation(slices, (start.on(slices).outcome(0),))
        for slices in ({"v3-32": a, "v3-64": b} for a in (1, 2, 3) for b in (1, 2, 3))
    ]
    tried = reservations(start, seeds=1)
    for hours in (22.0, 25.0, 30.0):
        (best, *_), (truth, *_) = cheapest(tried, hours, None), cheapest(every, hours, None)
        assert best.billed_usd == pytest.approx(truth.billed_usd)
        assert best.hours <= hours


def test_a_deadline_or_a_budget_that_cannot_be_kept_is_one_line_with_what_can():
    tried = reservations(grid(), seeds=1)
    with pytest.raises(
        RequestError, match=r"no number of slices is quick enough; .*v3-64=6.* held up by the runs on v3-64"
    ):
        cheapest(tried, 10.0, None)
    with pytest.raises(RequestError, match=r"--budget 1000: .* is billed so little; the cheapest, v3-256=1"):
        cheapest(tried, 200.0, 1000.0)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--deadline", "soon"], "--deadline 'soon': give a time above 0 in hours or days"),
        (["--deadline", "4d", "--budget", "-1"], "--budget '-1': give dollars above 0"),
        (["--budget", "100"], "--budget goes with --deadline"),
        (["--deadline", "4d", "--slices", "v3-32=1"], "finds the slices itself"),
    ],
)
def test_a_request_that_cannot_be_read_is_one_line(more, said):
    asked = CliRunner().invoke(cli, ["simulate", str(GRID), *more], standalone_mode=False)
    assert isinstance(asked.exception, RequestError)
    assert said in str(asked.exception)
    assert "\n" not in str(asked.exception)


def test_simulate_says_what_is_billed_first_and_needs_no_slices_where_the_spec_has_them():
    shown = CliRunner().invoke(cli, ["simulate", str(GRID), "--seeds", "1"]).output
    lines = [line.split("  ")[0] for line in shown.splitlines()]
    assert lines[1:5] == ["USD billed", "USD held by runs", "makespan, hours", "slice-hours billed"]


def test_a_run_on_cores_takes_in_virtual_time_what_its_plan_says():
    """Neither charges cores for starting and compiling, which take seconds there."""
    spec = load_spec(GRID.parent / "digits.yaml")
    runs = (spec.runs[0],)
    spec = spec.model_copy(update={"runs": runs, "plan": spec.plan.model_copy(update={"mfu": 0.01})})
    (row,) = plan(spec)
    found = campaign(spec, {}, {"cpu": 1}, Faults()).outcome(0)
    assert found.makespan_h * 3600 == pytest.approx((row.hours or 0.0) * 3600, abs=2)


def test_each_evaluation_that_is_a_job_starts_and_compiles_in_the_plan_as_in_virtual_time():
    spec = load_spec(GRID)
    run = spec.runs[0]
    apart = run.execution.model_copy(update={"evaluate_on": ResourceSpec(slice="v3-8")})
    spec = spec.model_copy(update={"runs": (run.model_copy(update={"execution": apart}),)})
    (row,) = plan(spec)
    found = campaign(spec, {"v3-32": 1, "v3-8": 1}, {}, Faults()).outcome(0)
    assert found.evaluated == 8
    hours = {term.name: term.hours for term in row.terms}
    assert hours["start of evaluations"] + hours["compilation of evaluations"] == pytest.approx(8 * 90 / 3600)
    assert found.slice_hours == pytest.approx(row.hours or 0.0, rel=0.01)
