"""Forecasts, suggestions and comparisons as a person asks for them: right, launchable, and one line where wrong."""

import json

import pytest
from click.testing import CliRunner

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.model import accounting
from dit_grid.orchestrator.advice.budgets import Budget, parse_budget
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.planning.plan import plan
from dit_grid.orchestrator.planning.work import record_runs

SPEC = """
name: twelve
store: {store}
grid:
  model.size: [S, B, L, XL]
  model.patch: [8, 4, 2]
sizes:
  S: {{width: 16, depth: 1, heads: 2}}
  B: {{width: 24, depth: 2, heads: 2}}
  L: {{width: 32, depth: 3, heads: 2}}
  XL: {{width: 48, depth: 4, heads: 2}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: 1000, batch: 128, log_every: 100}}
evaluate: {{every: 1000, settings: [{{metrics: [fd_conv], samples: 100, sampler: ddim, steps: 4}}]}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: 1000}}
plan: {{mfu: 0.25, usd_per_core_hour: 0.1}}
cluster: {{order: cheapest}}
"""
WAITING = ["XL/2", "L/2"]
SCALE, EXPONENT = 0.5, -0.6


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A spec of twelve models whose store holds a planted power law for ten; returns the spec's file."""
    folder = tmp_path_factory.mktemp("twelve")
    file = folder / "twelve.yaml"
    file.write_text(SPEC.format(store=folder / "store"))
    fill(file)
    return file


def fill(file, sampler="ddim", waiting=WAITING):
    spec = load_spec(file)
    store = Store.create(spec.store)
    record_runs(spec, store)
    for place, run in enumerate(spec.runs):
        if run.model.name in waiting:
            continue
        attempt = store.begin_attempt(run.id, 0)
        value = SCALE * (accounting.forward_macs(run.network) / 1e9) ** EXPONENT * (1 + 0.05 * (-1) ** place)
        with store.writer(attempt) as writer:
            writer.train({"step": 1000, "loss": 0.1, "steps_per_s": 50.0})
            writer.eval({"step": 1000, "metric": "fd_conv", "value": value, "protocol": sampler, "samples": 100,
                         "sampler": sampler, "sampler_steps": 4, "guidance": 1.0, "weights": "ema"})  # fmt: skip
            writer.eval({"step": 1000, "metric": "heldout_loss", "value": value**0.1, "protocol": "h", "samples": 9})
        store.end_attempt(attempt, "done", {"step": 1000})


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The same spec with nothing unfinished."""
    file = tmp_path_factory.mktemp("done") / "done.yaml"
    file.write_text(SPEC.format(store=file.parent / "store"))
    fill(file, waiting=())
    return file


def ask(*arguments):
    found = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=True)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        assert isinstance(found.exception, ValueError), found.exception
        assert type(found.exception).__module__.startswith("dit_grid."), found.exception  # one line, exit status 2
        assert "\n" not in str(found.exception)
        return str(found.exception)
    assert found.exit_code == 0, found.output
    return found.stdout if "--json" in arguments else found.output  # notes beside it go to standard error


def as_json(*arguments):
    return json.loads(ask(*arguments, "--json"))


def test_unfinished_models_are_forecast_with_hours_and_money(grid):
    rows = {row["model"]: row for row in as_json("forecast", grid)["predictions"]}
    assert set(rows) == set(WAITING)
    for row in rows.values():
        truth = SCALE * row["gmacs"] ** EXPONENT
        assert row["low"] < truth < row["high"]
        assert row["usd"] == pytest.approx(0.1 * row["hours"])  # one core at 0.1 USD an hour
    assert rows["XL/2"]["decades"] > rows["L/2"]["decades"] > 0
    shown = ask("forecast", grid)
    assert "leave-one-out RMS error" in shown
    assert "XL/2" in shown


def test_a_store_alone_gives_hours_at_its_own_speeds(grid):
    """1,000 updates at the MACs a second of the nearest measured model, which did 50 updates a second."""
    store = load_spec(grid).store
    row = as_json("forecast", store, "--models", "XL/4")["predictions"][0]
    assert row["hours"] == pytest.approx(1000 / 50 / 3600)
    assert row["observed"] == pytest.approx(row["predicted"], rel=0.3)


def test_the_papers_back_tests_from_the_command_line():
    """Fitted without XL/2 the interaction form predicts 19.25 (Table 4: 19.47); nine predict three within 3 %."""
    found = as_json("forecast", "--paper")
    (row,) = found["predictions"]
    assert found["law"] == "params × tokens"
    assert (row["model"], row["observed"]) == ("XL/2", pytest.approx(19.47))
    assert row["predicted"] == pytest.approx(19.25, abs=0.005)
    assert found["by_form"]["power law"]["XL/2"] == pytest.approx(26.5, abs=0.05)
    nine = as_json("forecast", "--paper", "--cheapest", "9")
    errors = [abs(row["predicted"] / row["observed"] - 1) for row in nine["predictions"]]
    assert sum(errors) / 3 == pytest.approx(0.030, abs=5e-4)
    plain = [abs(nine["by_form"]["power law"][row["model"]] / row["observed"] - 1) for row in nine["predictions"]]
    assert sum(plain) / 3 == pytest.approx(0.449, abs=5e-4)


def test_a_suggestion_writes_a_spec_that_launch_takes_with_the_same_runs(grid, tmp_path):
    out = tmp_path / "next.yaml"
    found = as_json("suggest", grid, "--budget", "1h", "--models", "XL/1,64x4x2/2", "-o", out)
    written, spec = load_spec(out), load_spec(grid)
    bought = sorted((row for row in found["candidates"] if row["bought"]), key=lambda row: row["bought"])
    assert {run.id for run in written.runs} == {row["run_id"] for row in bought}
    cells = {run.id for run in spec.runs}
    assert all(run.id in cells for run in written.runs if run.model.name in WAITING and run.seed == 0)
    assert (written.store, written.plan, written.cluster) == (spec.store, spec.plan, spec.cluster)
    assert sum(row.hours or 0 for row in plan(written)) <= 1
    assert found["width_expected"] < found["width"]


def test_another_seed_is_a_new_run_and_the_forecast_model_is_no_candidate(grid):
    rows = as_json("suggest", grid, "--budget", "1h", "--target", "forecast:XL/2 ±10%")["candidates"]
    assert "XL/2" not in {row["model"] for row in rows}
    seeds = [row for row in rows if row["kind"] == "another seed"]
    assert {row["run_seed"] for row in seeds} == {1}
    assert not {row["run_id"] for row in seeds} & {run.id for run in load_spec(grid).runs}
    assert all(row["flops"] > 0 for row in seeds)
    assert [row["per_cost"] for row in rows] == sorted((row["per_cost"] for row in rows), reverse=True)


def test_a_budget_is_kept_in_each_unit(grid):
    for budget, key, amount in (("1e11flops", "flops", 1e11), ("0.0001usd", "usd", 1e-4)):
        rows = as_json("suggest", grid, "--budget", budget)["candidates"]
        assert sum(row[key] for row in rows if row["bought"]) <= amount


def test_without_a_budget_the_best_for_its_price_is_chosen_of_a_store_too(grid, tmp_path):
    for where in (grid, load_spec(grid).store):
        found = as_json("suggest", where, "-o", tmp_path / "next.yaml")
        (bought,) = [row for row in found["candidates"] if row["bought"]]
        assert bought["per_cost"] == max(row["per_cost"] for row in found["candidates"])
        assert [run.id for run in load_spec(tmp_path / "next.yaml").runs] == [bought["run_id"]]
        assert (found["budget"], found["store"]) == (None, load_spec(grid).store)
        assert "that are worth it would leave ±" in found["notes"][-1]


def test_where_everything_is_done_models_beyond_the_grid_are_proposed_and_forecast(done):
    """The size after XL (48x4x2; L is 32x3x2) has 1.5 times the width and 4/3 of the depth: three heads of 24."""
    found = as_json("suggest", done)
    news = [row["model"] for row in found["candidates"] if row["kind"] == "new model"]
    assert {"72x5x3/2", "72x5x3/4", "72x5x3/8", "S/1"} <= set(news)
    assert "models beyond the grid are candidates too" in found["notes"][0]
    rows = as_json("forecast", done)["predictions"]
    assert [row["model"] for row in rows] == ["72x5x3/8", "72x5x3/4", "72x5x3/2"]
    for row in rows:
        assert row["low"] < SCALE * row["gmacs"] ** EXPONENT < row["high"]
        assert row["hours"] > 0


def test_what_a_width_takes_and_what_no_budget_holds_is_said(done):
    takes = as_json("suggest", done, "--target", "exponent ±0.02")["notes"][-1]
    assert takes.startswith("±0.02 takes ")
    nothing = " ".join(as_json("suggest", done, "--budget", "1e-9h")["notes"])
    assert "Nothing within the budget" in nothing
    assert "The best for its price, " in nothing


def test_before_six_models_are_measured_the_cheapest_cells_come_first(tmp_path):
    file = tmp_path / "empty.yaml"
    file.write_text(SPEC.format(store=tmp_path / "empty"))
    spec = load_spec(file)
    record_runs(spec, Store.create(spec.store))
    found = as_json("suggest", file, "--budget", "1h", "--metric", "fd_conv", "-o", tmp_path / "first.yaml")
    costs = [row["hours"] for row in found["candidates"]]
    assert costs == sorted(costs)
    assert "No ranking yet" in found["notes"][0]
    assert load_spec(tmp_path / "first.yaml").runs


def test_the_plan_shows_what_each_run_is_expected_to_reach(grid):
    expected = {row["model"]: row["expected"] for row in as_json("plan", grid) if row["expected"]}
    assert set(expected) == set(WAITING)
    rows = {model: found["fd_conv"] for model, found in expected.items()}
    assert set(expected["XL/2"]) == {"fd_conv", "heldout_loss"}, "every metric that has a law"
    assert rows["XL/2"]["low"] < rows["XL/2"]["value"] < rows["XL/2"]["high"]
    assert "expected fd_conv" in ask("plan", grid)


def test_the_plan_of_the_papers_grid_shows_its_table_and_flags_it_as_such(tmp_path):
    from pathlib import Path

    text = (Path(__file__).parents[3] / "experiments" / "grid.yaml").read_text()
    file = tmp_path / "grid.yaml"
    file.write_text(text.replace("model.patch: [8, 4, 2]", "model.patch: [2, 1]"))
    rows = {row["model"]: row["expected"]["fid"] for row in as_json("plan", file)}
    assert (rows["XL/2"]["value"], rows["XL/2"]["source"]) == (19.47, "the paper, Table 4")
    assert rows["XL/1"]["source"] == "params × tokens on the paper's 12 models"
    assert rows["XL/1"]["value"] < rows["XL/2"]["value"]


def test_two_stores_are_compared_and_other_settings_refused_unless_asked_for(grid, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(SPEC.format(store=tmp_path / "other"))
    fill(other, sampler="ddpm")
    stores = [load_spec(file).store for file in (grid, other)]
    assert "differently, in sampler: 'ddim', 'ddpm'; compare with --anyway" in ask("compare", *stores)
    found = as_json("compare", *stores, "--anyway")
    assert {row["verdict"] for row in found["table"]} == {"equal"}
    assert "10 equal" in ask("compare", *stores, "--anyway")
    assert "no 'fid' values" in ask("compare", stores[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["forecast", "{grid}", "--models", "XL"], "name a size and a patch"),
        (["forecast", "{grid}", "--models", "XL/1", "--cheapest", "7"], "both choose what to predict"),
        (["forecast", "{grid}", "--cheapest", "10"], "so none is left"),
        (["forecast", "{grid}", "--cheapest", "3"], "needs at least 6 models"),
        (["forecast", "{grid}", "--metric", "fid"], "no 'fid' values"),
        (["forecast", "results", "--paper"], "leave out 'results', or --paper"),
        (["suggest", "{grid}", "--budget", "5"], "5000usd, 200h or 1e21flops"),
        (["suggest", "{grid}", "--budget", "-5h"], "give an amount above 0"),
        (["suggest", "{grid}", "--budget", "5eur"], "5000usd, 200h or 1e21flops"),
        (["suggest", "{grid}", "--budget", "1h", "--target", "x"], "write a coefficient"),
        (["suggest", "{grid}", "--budget", "1e-9h", "-o", "{grid}.next"], "nothing to write"),
        (["compare", "{store}", "--metric", "fd_conv"], "name a second store"),
    ],
)
def test_a_wrong_request_is_one_line(grid, arguments, message):
    places = {"grid": grid, "store": load_spec(grid).store}
    assert message in ask(*(argument.format(**places) for argument in arguments))


@pytest.mark.parametrize(
    ("text", "budget"),
    [("5000usd", Budget(5000, "usd")), ("1,000 USD", Budget(1000, "usd")), ("200h", Budget(200, "hours")),
     ("1e21flops", Budget(1e21, "flops")), ("0.5H", Budget(0.5, "hours"))],
)  # fmt: skip
def test_budgets_read_as_people_write_them(text, budget):
    assert parse_budget(text) == budget


def test_a_budget_without_a_price_says_what_to_set(tmp_path):
    file = tmp_path / "free.yaml"
    file.write_text(SPEC.format(store=tmp_path / "free").replace(", usd_per_core_hour: 0.1", ""))
    fill(file)
    assert "set plan.usd_per_core_hour" in ask("suggest", file, "--budget", "5usd")


def test_the_region_of_all_models_not_measured_can_be_what_is_to_be_known(tmp_path):
    file = tmp_path / "few.yaml"
    file.write_text(SPEC.format(store=tmp_path / "store"))
    fill(file)
    found = as_json("suggest", file, "--budget", "100h", "--target", "region ±10%")
    assert found["target"] == "region ±10%"
    assert found["width_expected"] < found["width"]
    first = min((row for row in found["candidates"] if row["bought"]), key=lambda row: row["bought"])
    assert first["model"] in WAITING
    assert "known within a share, e.g. 'region ±10%'" in ask("suggest", file, "--budget", "1h", "--target", "region ±1")


def test_a_share_is_forecast_below_its_most(tmp_path):
    """1 - accuracy is planted to fall as a power; what larger models reach is found, and no interval passes 1."""
    file = tmp_path / "shares.yaml"
    file.write_text(SPEC.format(store=tmp_path / "store"))
    spec = load_spec(file)
    store = Store.create(spec.store)
    record_runs(spec, store)
    lacking = {run.id: 0.003 * (accounting.forward_macs(run.network) / 1e9) ** -0.4 for run in spec.runs}
    for place, run in enumerate(spec.runs):
        if run.model.name in WAITING:
            continue
        attempt = store.begin_attempt(run.id, 0)
        with store.writer(attempt) as writer:
            value = 1 - lacking[run.id] * (1 + 0.05 * (-1) ** place)
            writer.eval({"step": 1000, "metric": "accuracy", "value": value, "protocol": "a", "samples": 100})
        store.end_attempt(attempt, "done", {"step": 1000})
    for row in as_json("forecast", file, "--metric", "accuracy")["predictions"]:
        (run,) = [run for run in spec.runs if run.model.name == row["model"]]
        assert 0 <= row["low"] < 1 - lacking[run.id] < row["high"] <= 1
