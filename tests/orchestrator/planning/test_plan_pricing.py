"""What a plan says of hours and money: the known figures, the unit, the range, and what preemptions add."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dit_grid.experiments.spec import PriceSpec, SpecError, load_spec
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.compiling.roofline import Roofline
from dit_grid.orchestrator.planning.calibrate import calibration, measured_speeds, shortened, speed_of
from dit_grid.orchestrator.planning.plan import Speed, plan, preemption_overhead

GRID = Path(__file__).parents[3] / "experiments" / "grid.yaml"


def xl_2(**price):
    """The plan's row of XL/2 at the paper's 5.7 updates a second."""
    spec = load_spec(GRID)
    run = next(run for run in spec.runs if run.model.name == "XL/2")
    spec = spec.model_copy(update={"plan": PriceSpec(**price), "runs": (run,)})
    return plan(spec, {run.id: 5.7})[0]


def test_xl_2_costs_about_ten_thousand_dollars_by_the_core_hour_and_half_by_the_chip_hour():
    """400,000 steps at 5.7 a second are 19.5 h; a v3-256 has 256 cores, two a chip: 19.5 x 256 x 2 USD."""
    by_core, by_chip = xl_2(usd_per_core_hour=2.0), xl_2(usd_per_chip_hour=2.0)
    assert by_core.train_hours == pytest.approx(19.5, rel=0.001)
    assert by_core.train_hours * by_core.usd_per_hour == pytest.approx(19.4932 * 512, rel=1e-4)
    assert by_chip.usd == pytest.approx(by_core.usd / 2)


def test_training_and_evaluation_are_apart_and_add_up():
    row = xl_2()
    assert row.hours == pytest.approx(row.train_hours + row.eval_hours + row.beside_hours)
    sampling = {term.name: term.hours for term in row.terms}["sampling"]
    assert sampling / row.train_hours == pytest.approx(row.eval_gmacs / row.train_gmacs)
    assert sampling < row.eval_hours < 1.05 * sampling


def test_rare_preemptions_cost_a_restart_and_half_of_a_checkpoints_interval():
    """10,000 steps at 5.7 a second are 1,754 s; half of it and 123 s are 1,000 s, so one a day adds 1000/86400."""
    run = next(run for run in load_spec(GRID).runs if run.model.name == "XL/2")
    price = PriceSpec(preemptions_per_hour=1 / 24, restart_s=1000 - 10_000 / 5.7 / 2)
    assert preemption_overhead(run, price, 5.7) == pytest.approx(1000 / 86400, rel=0.02)
    assert xl_2(**price.model_dump()).overhead > 1000 / 86400  # evaluations lie between two commits too
    row = xl_2(**price.model_dump())
    assert row.hours == pytest.approx((row.train_hours + row.eval_hours + row.beside_hours) * (1 + row.overhead))


def test_the_range_says_how_well_the_speed_is_known():
    spec = load_spec(GRID)
    stated = plan(spec)[0]
    slower = ((stated.train_hours or 0) + {term.name: term.hours for term in stated.terms}["sampling"]) / (
        1 - spec.plan.mfu_error
    )  # decoding, scoring and starting take what they take
    beside = (stated.hours or 0) - (1 - spec.plan.mfu_error) * slower
    assert stated.hours_high == pytest.approx(slower + beside)
    measured = plan(spec, {spec.runs[0].id: Speed(10.0, 8.0, 11.0)})[0]
    assert measured.speed_from == "measured"
    sped = {term.name: term.hours for term in measured.terms}
    assert measured.hours_high == pytest.approx(
        (measured.hours or 0) + (sped["updates"] + sped["sampling"]) * (10 / 8 - 1)
    )


def test_the_plan_prints_which_unit_is_meant():
    shown = CliRunner().invoke(cli, ["plan", str(GRID)]).output
    assert "prices, USD an hour, on-demand, any region: v3-32 32" in shown
    assert "USD billed: v3-256=1,v3-128=1,v3-64=2,v3-32=2 (plan.slices), kept for the" in shown
    assert shown.index("USD billed") < shown.index("USD held by runs")
    assert "XL/2 on v3-256 holds 256 USD an hour" in shown


def test_the_first_window_compiles_and_is_left_out_of_a_speed():
    assert speed_of([0.1, 5.0, 6.0, 7.0]) == Speed(6.0, 5.0, 7.0)
    assert speed_of([2.0]) == Speed(2.0, 2.0, 2.0)


def test_a_measurement_trains_the_same_network_for_a_few_steps_and_evaluates_nothing(tmp_path):
    spec = load_spec(GRID)
    short = calibration(spec)
    assert [run.network for run in short.runs] == [run.network for run in spec.runs]
    assert {run.train.steps for run in short.runs} == {30}
    assert not any(run.evaluate.settings for run in short.runs)
    assert not {run.id for run in short.runs} & {run.id for run in spec.runs}
    assert shortened(shortened(spec.runs[0])).id == shortened(spec.runs[0]).id
    assert measured_speeds(spec.model_copy(update={"store": str(tmp_path / "none")})) == {}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("plan: {usd_per_core_hour: 2, usd_per_chip_hour: 2}", ":11: plan: two prices"),
        ("cluster: {ordr: spec}", ":11: cluster.ordr: unknown field (did you mean 'order'?)"),
        ("cluster: {order: dearest}", ":11: cluster.order: got 'dearest'"),
        ("cluster: {budget: {usd: -5}}", ":11: cluster.budget.usd: got -5"),
        ("execution: {resources: {slice: v3-16}}", ":11: execution.resources.slice: got 'v3-16', which is not sold"),
        ("execution: {resources: {slice: v33-16}}", "no generation 'v33' (did you mean 'v3'?)"),
        ("execution: {resources: {slice: huge}}", "a generation and a size, for example v3-32"),
    ],
)
def test_mistakes_about_cluster_and_price_are_found_before_anything_is_reserved(tmp_path, section, message):
    spec = tmp_path / "bad.yaml"
    spec.write_text(
        "\n\n\nname: x\nstore: y\nmodel: {size: S, patch: 8, image_size: 32}\ndata: {name: digits}\n"
        "evaluate: {every: 100}\ntrain: {steps: 100}\nruns: [{seed: 1}]\n" + section + "\n"
    )
    with pytest.raises(SpecError) as caught:
        load_spec(spec)
    assert message in str(caught.value)


def test_how_a_grid_is_scheduled_is_no_part_of_any_runs_id(tmp_path):
    spec = tmp_path / "grid.yaml"
    spec.write_text(GRID.read_text() + "\ncluster: {order: largest, budget: {usd: 50_000}, settle_s: 9}\n")
    assert [run.id for run in load_spec(spec).runs] == [run.id for run in load_spec(GRID).runs]


def test_simulate_prints_every_quantity_and_writes_the_same_journal_again(tmp_path):
    spec = Path(__file__).parents[3] / "experiments" / "digits.yaml"
    asked = ["simulate", str(spec), "--slices", "cpu=2", "--seeds", "2", "--journal"]
    first, second = (CliRunner().invoke(cli, [*asked, str(tmp_path / name), *more]) for name, more in
                     (("a", []), ("b", ["--json"])))  # fmt: skip
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert all(word in first.output for word in ("makespan", "idle share", "preemptions", "2 campaigns of 12 runs"))
    rows = json.loads(second.stdout)
    assert [row["done"] for row in rows] == [12, 12]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_roofline_and_its_efficiency_stand_between_what_was_measured_and_one_utilisation_for_all():
    """With 0.74 of a roofline of 0.1293 s an update, XL/2 replicated on a v3-256 makes the paper's 5.7 a second."""
    spec = load_spec(GRID)
    by_roofline, _, shipped = plan(spec, None, {spec.runs[0].id: Roofline(0.1293)})[:3]
    assert by_roofline.speed_from == "roofline 74%"
    assert by_roofline.steps_per_s == pytest.approx(5.7, rel=0.01)
    assert shipped.speed_from.startswith("roofline 74%, libtpu ")
    assert plan(spec, {spec.runs[0].id: 9.0}, {spec.runs[0].id: Roofline(0.1293)})[0].speed_from == "measured"
    plain = spec.model_copy(update={"plan": spec.plan.model_copy(update={"efficiency": None})})
    assert plan(plain, None, {spec.runs[0].id: Roofline(0.1293)})[0].speed_from == "MFU 6.6%"
