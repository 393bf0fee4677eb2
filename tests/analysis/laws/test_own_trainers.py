"""Results of one's own trainer: its metrics read as its spec says, its law against whatever compute is known."""

import json

import pytest

from dit_grid.analysis import law, load, results_table
from dit_grid.analysis.figures.catalog import drawn
from dit_grid.analysis.figures.material import Material
from dit_grid.analysis.fits import CannotFitError
from dit_grid.analysis.forecasting.candidates import UnknownModelError, named_models
from dit_grid.analysis.forecasting.prediction import forecast
from dit_grid.analysis.report.page import report_html
from dit_grid.analysis.report.page_data import page_data
from dit_grid.analysis.results.metric_names import main_metric, metric_named
from dit_grid.experiments.spec.any_run import columns
from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.provenance import protocol

WIDTHS = (4, 8, 16, 32, 64, 128, 256)
EXPONENT = -0.4


@pytest.fixture
def results(tmp_path):
    """A function that returns results of seven widths, trained to the end, distance 3 width^-0.4; costs as given."""

    def loaded(**cost):
        store = Store.create(str(tmp_path / json.dumps(cost).replace("/", "")))
        for width in WIDTHS:
            run = TrainerRun.model_validate({
                "trainer": "mlp:train", "config": {"width": width}, "train": {"steps": 100}, "label": f"width={width}",
                "cost": {name: value * width for name, value in cost.items()},
                "metrics": {"gap": {"scale": "log"}, "wins": {"better": "higher"}},
            })  # fmt: skip
            store.add_run({"experiment": "own", "code_sha256": "", **columns(run)})
            attempt = store.begin_attempt(run.id, 0)
            with store.writer(attempt) as writer:
                for step in (50, 100):
                    writer.train({"step": step, "loss": 1.0 / step})
                    for metric, value in (("gap", 3 * width**EXPONENT * 100 / step), ("wins", 0.1 * width**0.3)):
                        writer.eval({"step": step, "metric": metric, "value": value, "protocol": protocol({})})
            store.end_attempt(attempt, "done")
        return load(store.paths.root)

    return loaded


def test_metrics_read_as_the_spec_says(results):
    found = results(forward_gmacs=0.001)
    assert not metric_named("wins").lower_is_better
    assert metric_named("gap").log
    assert main_metric(set(found.evals["metric"])) == "gap"
    assert law(found, "wins").monotone == {0: True}


@pytest.mark.parametrize(
    ("cost", "against"),
    [
        ({"forward_gmacs": 0.001, "params": 10}, "GMACs per forward pass"),
        ({"train_gmacs": 0.5, "params": 10}, "GMACs of training"),
        ({"params": 10}, "parameters"),
    ],
)
def test_the_law_is_drawn_against_what_is_known(results, cost, against):
    found = law(results(**cost), "gap")
    assert f"(gap) against {against}" in found.to_text()
    assert found.fit.params["exponent"].value == pytest.approx(EXPONENT)
    assert len(found.points) == len(WIDTHS)


def test_where_no_cost_is_said_there_is_no_law_and_no_order_of_sizes(results):
    found = law(results(), "gap")
    assert found.monotone == {}
    assert len(found.points) == len(WIDTHS)
    assert "No fit: GMACs per forward pass (the paper's Gflops) not known of any model; see cost:" in found.to_text()


def test_a_forecast_without_the_compute_of_a_forward_pass_says_so(results):
    with pytest.raises(CannotFitError, match="the compute of a forward pass is not known of all of them; see cost:"):
        forecast(results(params=10), None, "gap")


@pytest.mark.parametrize("cost", [{"params": 10}, {"forward_gmacs": 0.001}, {"train_gmacs": 0.5}, {}])
def test_the_report_draws_every_model_against_what_is_known(results, cost):
    found = results(**cost)
    data = page_data(Material(found, {}))
    plotted = [view for view in data["views"] if view["id"] == "law"]
    assert [view["x"] for view in plotted] == ([law(found, "gap").fit.law.predictors[0]] if cost else [])
    assert all(view["x"] in data["axes"] for view in data["views"])
    assert len(data["curves"]["gap"]) == len(WIDTHS)
    assert "width=256" in report_html(found)


def test_training_compute_is_what_the_spec_says_up_to_the_step(results):
    evals = results(train_gmacs=0.5).evals
    assert (
        evals["train_gmacs"] == 0.5 * evals["model"].str.removeprefix("width=").astype(int) * evals["step"] / 100
    ).all()


def test_tables_leave_out_what_no_run_has(results):
    table = results_table(results(forward_gmacs=0.001))
    assert list(table.columns) == [
        "run_id", "model", "seed", "gmacs", "state", "steps", "step", "loss", "steps_per_s", "gap", "wins",
        "evaluated_at",
    ]  # fmt: skip


def test_figures_are_drawn_or_say_what_is_not_known(results):
    known = {entry.name: chart for entry, chart in drawn(results(forward_gmacs=0.001, train_gmacs=0.5), {})}
    for name in ("figure02_bubbles", "figure06_steps", "figure08_compute", "figure09_training_compute"):
        assert not isinstance(known[name], str), known[name]
    unknown = {entry.name: chart for entry, chart in drawn(results(params=10), {})}
    assert (
        unknown["figure08_compute"]
        == "the compute of a forward pass is not known of every model; see cost: in the spec"
    )
    assert "of training is not known" in str(unknown["figure09_training_compute"])
    assert not isinstance(unknown["figure06_steps"], str)


def test_a_model_of_it_can_be_forecast_but_not_made_up(results):
    found = results(forward_gmacs=0.001)
    asked = found.runs[found.runs["model"] == "width=256"]
    row = forecast(found, asked, "gap").predictions.iloc[0]
    assert row["predicted"] == pytest.approx(row["observed"], rel=1e-6)
    with pytest.raises(UnknownModelError, match="these runs have a trainer of their own"):
        named_models(["XL/2"], found)
