"""What the package ships of the TPU compiler's figures: which runs have them, and what a plan makes of them."""

from pathlib import Path

import pytest

from dit_grid.experiments.spec import PriceSpec, load_spec
from dit_grid.model import accounting
from dit_grid.orchestrator.compiling.generations import generation_of, topology_of
from dit_grid.orchestrator.compiling.known_rooflines import known_roofline, shipped
from dit_grid.orchestrator.planning.plan import plan

GRID = Path(__file__).parents[3] / "experiments" / "grid.yaml"


@pytest.fixture(scope="module")
def spec():
    return load_spec(GRID, ["blocks", "512", "long"])


def planned(spec, run, **price):
    """The plan's row of one run at a price."""
    return plan(spec.model_copy(update={"plan": PriceSpec(**price), "runs": (run,)}))[0]


def named(spec, name):
    return next(run for run in spec.networks if run.model.name == name)


def executed(run, **changes):
    return run.model_copy(update={"execution": run.execution.model_copy(update=changes)})


def test_every_run_of_the_shipped_grid_has_its_own_speed(spec):
    rows = plan(spec)
    by = f", libtpu {shipped().libtpu}"
    assert {row.speed_from for row in rows} == {f"roofline 74%{by}", f"the compiler's cycles{by}"}
    assert rows[11].model == "XL/2"
    assert rows[11].steps_per_s == pytest.approx(0.74 / 0.0491, rel=0.01)  # docs/performance.md, by the TPU compiler
    assert len({row.steps_per_s for row in rows}) == len({run.network for run in spec.networks})


@pytest.mark.parametrize("efficiency", [0.3, 0.74, 1.0])
def test_no_plan_is_quicker_than_the_compilers_own_cycles(spec, efficiency):
    """By 74 % of the roofline S/8 would take 4.0 ms an update, where what a core executes takes 4.2 already."""
    for run in spec.networks:
        row, found = planned(spec, run, efficiency=efficiency), known_roofline(run)
        assert found is not None
        roofline, _ = found
        seconds = row.train_hours * 3600 / run.train.steps
        assert seconds == pytest.approx(max(roofline.cycles_s, roofline.peak_s / efficiency))
        by_cycles = row.speed_from.startswith("the compiler's cycles")
        assert by_cycles == (roofline.cycles_s > roofline.peak_s / efficiency)
        assert (row.hours_low == row.hours) == by_cycles  # nor is the quicker end of the range


def test_no_row_is_faster_than_its_arithmetic_at_peak(spec):
    for run in spec.networks:
        slice_name = run.execution.resources.slice
        peak = generation_of(slice_name).flops_per_s * topology_of(slice_name).devices / 2  # two cores a chip of v3
        flops = accounting.FLOPS_PER_MAC * accounting.training_macs(run.network, run.train.batch, 1)
        found = known_roofline(run)
        assert found is not None
        assert found[0].peak_s >= flops / peak


@pytest.mark.parametrize(
    "changed",
    [
        lambda run: executed(run, resources=run.execution.resources.model_copy(update={"slice": "v3-64"})),
        lambda run: executed(run, remat="block"),
        lambda run: executed(run, sharding="replicated"),
        lambda run: executed(run, resources=run.execution.resources.model_copy(update={"slice": None, "cpus": 1})),
        lambda run: run.model_copy(update={"train": run.train.model_copy(update={"batch": 512})}),
        lambda run: run.model_copy(update={"train": run.train.model_copy(update={"dtype": "bfloat16"})}),
        lambda run: run.model_copy(update={"train": run.train.model_copy(update={"accumulate": 2})}),
        lambda run: run.model_copy(update={"model": run.model.model_copy(update={"image_size": 64})}),
    ],
)
def test_another_program_has_no_roofline_and_goes_by_the_spec(spec, changed):
    run = changed(named(spec, "S/8"))
    assert known_roofline(run) is None
    assert planned(spec, run, efficiency=0.5).steps_per_s is None


def test_a_run_that_differs_by_what_costs_no_time_has_the_same(spec):
    run = named(spec, "S/8")
    renamed = run.model.model_copy(update={"size": "Small"})
    train = run.train.model_copy(update={"steps": 7, "class_dropout": 0.2})
    assert known_roofline(run.model_copy(update={"seed": 5, "train": train, "model": renamed})) == known_roofline(run)


def test_an_mfu_that_the_spec_states_wins_over_what_nobody_asked_for(spec):
    run = named(spec, "S/8")
    found = known_roofline(run)
    assert found is not None
    roofline, _ = found
    assert planned(spec, run, mfu=0.1).speed_from == "MFU 10.0%"
    assert planned(spec, run, mfu=0.1, efficiency=0.5).steps_per_s == pytest.approx(0.5 / roofline.peak_s)
    assert planned(spec, run).steps_per_s == pytest.approx(1 / roofline.seconds(0.74))
