"""The law of a sweep is that of each model's best; edges, ties, noise and gaps are said, and the optimum has a law."""

import json

import numpy as np
import pandas as pd
import pytest

from dit_grid import analysis
from dit_grid.analysis.laws.optima import is_geometric, vertex
from dit_grid.analysis.laws.record import record_of
from dit_grid.analysis.laws.tuning import _flattery, tuning_of
from dit_grid.analysis.results.families import main_family
from dit_grid.analysis.results.frames import assemble
from dit_grid.analysis.results.sweeps import Sweep, sweeps


@pytest.fixture(scope="module")
def swept(planted, sweeping):
    return sweeping.swept(planted, patches=(4,))


def test_the_law_is_fitted_to_the_best_of_each_model(planted, sweeping, swept):
    found = analysis.law(swept)
    params = planted.tables(patches=(4,))[0].set_index("model")["params"]
    for point in found.points.to_dict("records"):
        nearest = min(sweeping.FACTOR_2, key=lambda rate: abs(np.log(rate / sweeping.optimum(params[point["model"]]))))
        assert point[sweeping.RATE] == nearest
    assert found.left_out == found.missing == found.choices == ()
    assert (found.points["seeds"] == 1).all(), "values of a sweep are no seeds"
    assert "Best over learning_rate: 9 values a model (learning_rate 0.0001 to 0.0256), chosen on one seed" in str(
        found
    )


def test_the_optimum_between_the_values_follows_the_planted_law(sweeping, swept):
    (found,) = analysis.law(swept).tuning.optima
    planted_at = sweeping.optimum(found.table["params"])
    assert list(found.table["optimum"]) == pytest.approx(
        list(planted_at), rel=1e-9
    )  # a parabola through three is exact
    assert found.fit.params["exponent"].value == pytest.approx(sweeping.MOVES, rel=1e-9)
    assert found.factor == pytest.approx(2)
    assert not found.is_too_coarse
    blunt = np.log(2) / np.sqrt(12)
    assert list(found.table["ln_se"]) == pytest.approx([blunt] * 4)  # one seed: the spacing is what is known
    assert "neighbours ×2 apart set the resolution" in str(analysis.law(swept))


def test_noise_of_seeds_makes_an_optimum_unsure(planted, sweeping):
    found = analysis.law(sweeping.swept(planted, patches=(4,), seeds=(0, 1), noise=0.4, bends=0.1)).tuning.optima[0]
    known = found.table["ln_se"].dropna()
    assert known.min() >= np.log(2) / np.sqrt(12) - 1e-12
    assert known.max() > 0.25, "seeds that differ as much as neighbours do leave more open than the spacing"
    u, best, draws = np.log([1.0, 2.0, 4.0]), np.log(2.2), np.random.default_rng(0).normal(0, 0.01, (4000, 3))
    places = [vertex(u, (u - best) ** 2 + draw)[0] for draw in draws]
    gradient = vertex(u, (u - best) ** 2)[1]
    assert np.std(places) == pytest.approx(0.01 * np.sqrt(np.sum(gradient**2)), rel=0.05)  # four standard errors of it


def test_neighbours_farther_apart_than_the_optimum_moves_are_too_coarse(planted, sweeping):
    rates = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    found = analysis.law(sweeping.swept(planted, patches=(4,), rates=rates))
    assert found.tuning.optima[0].is_too_coarse
    assert "TOO COARSE: neighbours ×10 apart set the resolution" in str(found)


def test_a_best_at_the_edge_is_named_and_has_no_optimum(planted, sweeping):
    found = analysis.law(sweeping.swept(planted, patches=(4,), rates=sweeping.FACTOR_2[:5]))
    assert [(edge.model, edge.value, edge.side) for edge in found.tuning.edges] == [
        (model, 1.6e-3, "highest") for model in ("S/4", "B/4", "L/4", "XL/4")
    ]
    (line,) = found.cautions
    assert line.startswith("the best of S/4, B/4, L/4, XL/4 is at the highest learning_rate tried (0.0016)")
    assert f"CAUTION: {line}" in str(found)
    assert found.tuning.optima[0].fit is None
    assert "No law of the best learning_rate: 0 of 4 models have it inside their sweep" in str(found)


def test_beyond_a_diverged_value_nothing_is_to_be_tried(planted, sweeping):
    runs, train, evals, events, states = sweeping.swept_tables(planted, patches=(4,), rates=sweeping.FACTOR_2[:6])
    top = runs["run_id"].str.contains("-0.0032-")
    gone = set(runs["run_id"][top])
    states |= dict.fromkeys(gone, "failed")
    kept = evals[~evals["run_id"].isin(gone)]
    diverged = analysis.law(assemble(runs, train, kept, events, states, failures=dict.fromkeys(gone, "nan")))
    assert diverged.tuning.edges == diverged.missing == diverged.cautions == ()
    assert "Diverged, which counts as worse: S/4 0.0032, B/4 0.0032" in str(diverged)
    assert set(diverged.tuning.optima[0].table["how"]) == {"beside a value that diverged"}
    failed = analysis.law(assemble(runs, train, kept, events, states, failures=dict.fromkeys(gone, "error")))
    assert len(failed.tuning.edges) == len(failed.missing) == 4
    measured = evals.assign(value=evals["value"].where(~evals["run_id"].isin(gone)))
    assert analysis.law(assemble(runs, train, measured, events, states)).tuning.edges == ()  # its metric is NaN


def test_a_choice_among_unfinished_runs_is_provisional(planted, sweeping):
    found = analysis.law(sweeping.swept(planted, patches=(4,), lost=("l-4-s-0-0.0016",)))
    (line,) = found.cautions
    assert line == "the best of L/4 is provisional: no final value of L/4 0.0016 (1 runs)"
    how = found.tuning.optima[0].table.set_index("model")["how"]
    assert how["L/4"] == "a neighbour is not finished"
    assert found.missing == ("L/4 seed 0 (waiting)",)


def test_several_keys_are_chosen_over_their_product(planted, sweeping):
    found = analysis.law(sweeping.swept(planted, patches=(4,), dropouts=(0.0, 0.1, 0.3)))
    assert set(found.points[sweeping.DROPOUT]) == {0.1}
    assert found.tuning.sweep.over == "best over learning_rate × class_dropout"
    assert "27 combinations a model" in str(found)
    assert "S/4 learning_rate 0.0032, class_dropout 0.1" in str(found)
    (rate,) = found.tuning.optima  # 0, 0.1, 0.3 are no geometric range
    assert rate.fit.params["exponent"].value == pytest.approx(sweeping.MOVES, rel=1e-9)


def test_the_choice_is_made_on_the_mean_over_seeds(planted, sweeping):
    runs, train, evals, events, states = sweeping.swept_tables(planted, patches=(4,), seeds=(0, 1))
    lucky = evals["run_id"].str.endswith("-0.0256-0") & evals["run_id"].str.startswith("s-4")
    evals.loc[lucky, "value"] = evals.loc[lucky, "value"] / 8  # the best single run of S/4, and a bad rate
    best = analysis.law(assemble(runs, train, evals, events, states)).points.set_index("model")
    assert best.loc["S/4", sweeping.RATE] == 3.2e-3
    assert best.loc["S/4", "seeds"] == 2


def test_equal_values_are_a_tie_and_the_lowest_is_taken(planted, sweeping):
    found = analysis.law(sweeping.swept(planted, patches=(4,), bends=0.0, rates=(1e-3, 2e-3)))
    assert set(found.points[sweeping.RATE]) == {1e-3}
    (line,) = found.choices
    assert line.startswith(
        "as good under several learning_rate, of which the first is taken: S/4 (0.001 and 0.002), B/4"
    )


def test_a_model_with_one_value_is_named(planted, sweeping):
    runs, *rest = sweeping.swept_tables(planted, patches=(4,))
    keep = ~runs["run_id"].str.startswith("xl-4") | runs["run_id"].str.contains("-0.0016-")
    found = analysis.law(assemble(runs[keep], *rest))
    assert found.cautions == ("XL/4 had one learning_rate alone: not tuned, beside models that are",)
    assert len(found.points) == 4


def test_another_rule_is_another_sweep_with_an_optimum_of_its_own(planted, sweeping):
    found = analysis.law(sweeping.swept(planted, patches=(4,), rules=("standard", "mup")))
    assert found.choices == (
        "2 recipes have 4 models each: taken is train.parametrization mup, the first in order; not "
        "train.parametrization standard",
    )
    (mup,), ((rule, other),) = found.tuning.optima, found.other_tunings.items()
    assert mup.fit.params["exponent"].value == pytest.approx(0, abs=1e-9)
    assert rule == "train.parametrization standard"
    assert other.optima[0].fit.params["exponent"].value == pytest.approx(sweeping.MOVES, rel=1e-9)
    assert "Under train.parametrization standard:" in str(found)


def test_seeds_say_how_much_choosing_flatters():
    """500 models of five equally good values: the mean over the best is too low, and read by other seeds it is not."""
    rng, settings, seeds = np.random.default_rng(0), [f'{{"train.lr": {k}}}' for k in range(5)], range(4)
    rows = [(f"m{m}", "r", s, seed) for m in range(500) for s in settings for seed in seeds]
    runs = pd.DataFrame(rows, columns=["model", "rule", "setting", "run_seed"])
    runs["value"] = np.exp(rng.normal(0, 0.2, len(runs)))
    found = _flattery(Sweep("fid", ("train.lr",), runs.head(0), runs))
    expected_minimum = 1.163 * 0.2 / np.sqrt(4)  # of five standard normals (Harter 1961), for means of four seeds
    assert np.log(found.values).mean() == pytest.approx(0, abs=3 * 0.2 / np.sqrt(4 * 500) * 2)
    assert np.log(found.by) == pytest.approx(expected_minimum, abs=0.012)  # three standard errors of 500 models


def test_figures_and_the_results_table_know_the_best(planted, sweeping, swept):
    shown, left_out = main_family(swept)
    assert sorted(shown.runs["model"]) == ["B/4", "L/4", "S/4", "XL/4"]
    assert left_out == ()
    table = analysis.results_table(swept)
    assert list(table.loc[table["best"] != "", "run_id"]) == list(shown.runs["run_id"])
    (line,) = [line for line in analysis.remarks(swept) if "learning_rate" in line]
    assert line == "fd_conv is best over learning_rate: S/4 0.0032, B/4 0.0016, L/4 0.0016, XL/4 0.0016"


def test_the_record_for_programs_is_plain_json(planted, sweeping):
    found = analysis.law(sweeping.swept(planted, patches=(4,), seeds=(0, 1), noise=0.05, rules=("standard", "mup")))
    record = json.loads(json.dumps(record_of(found)))
    assert record["sweep"]["over"] == [sweeping.RATE]
    assert [cell["model"] for cell in record["sweep"]["cells"] if cell["best"] is True] == ["S/4", "B/4", "L/4", "XL/4"]
    assert record["sweep"]["optima"][0]["fit"]["coefficients"]["exponent"]["high"] > 0
    assert record["sweep"]["flattery"]["by"] >= 1
    assert list(record["other_sweeps"]) == ["train.parametrization standard"]


def test_a_table_of_two_rules_says_the_best_under_each(planted, sweeping):
    lines = analysis.remarks(sweeping.swept(planted, patches=(4,), rules=("standard", "mup")))
    assert [line[:60] for line in lines] == ["fd_conv is best over learning_rate under train.parametrizati"] * 2


def test_an_own_trainers_config_is_swept_where_a_label_says_what_a_model_is(planted):
    runs, train, evals, events, states = planted.tables(seeds=(0, 1, 2), patches=(4,))
    runs[["patch", "batch"]] = 0, np.nan
    rates = dict(zip((0, 1, 2), (0.1, 0.2, 0.4), strict=True))
    runs["spec"] = [
        json.dumps({"trainer": {"call": "m:train"}, "label": model, "config": {"width": width, "lr": rates[seed]}})
        for model, width, seed in zip(runs["model"], runs["width"], runs["seed"], strict=True)
    ]
    evals.loc[~evals["run_id"].str.endswith("1"), "value"] *= 2
    runs["seed"] = 0
    found = analysis.law(assemble(runs, train, evals, events, states))
    assert set(found.points["config.lr"]) == {0.2}
    assert found.tuning.sweep.over == "best over lr"
    assert found.left_out == ()
    costly = runs.assign(params=runs["params"] + runs.index)  # a setting that changes the network is no sweep
    assert analysis.law(assemble(costly, train, evals, events, states)).tuning is None


def test_one_models_extra_run_is_no_sweep(planted, sweeping):
    runs, *rest = sweeping.swept_tables(planted, rates=(1e-3, 2e-3), patches=(4,))
    keep = runs["run_id"].str.contains("-0.001-") | runs["run_id"].str.startswith("s-4")
    found = analysis.law(assemble(runs[keep], *rest))
    assert found.tuning is None
    assert found.left_out == (f"s-4-s-0-0.002-0 (its {sweeping.RATE} 0.002, not 0.001)",)


def test_nothing_measured_is_no_best(planted, sweeping):
    runs, train, evals, events, _ = sweeping.swept_tables(planted, patches=(4,), rates=(1e-3, 2e-3))
    results = assemble(runs, train, evals.head(0), events, {})
    (found,) = sweeps(results, "fd_conv")
    assert not found.cells["best"].any()
    assert tuning_of(found).edges == ()
    assert len(main_family(results)[0].runs) == 4


@pytest.mark.parametrize("values", [[1, 2, 4], [1e-4, 3e-4, 1e-3], [1, 3]])
def test_a_geometric_range_is_told(values):
    assert is_geometric(pd.Series(values))
    assert not is_geometric(pd.Series([str(value) for value in values]))


@pytest.mark.parametrize("values", [[1, 2, 3], [0, 1, 2], [1, 1.5], [5]])
def test_another_range_is_not_geometric(values):
    assert not is_geometric(pd.Series(values))


def test_the_vertex_moves_as_its_derivative_says():
    u, y = np.array([0.0, 1.0, 3.0]), np.array([2.0, 1.0, 4.0])
    place, gradient = vertex(u, y)
    assert place == pytest.approx(np.roots(np.polyder(np.polyfit(u, y, 2)))[0])
    step = 1e-6
    for i in range(3):
        moved = vertex(u, y + step * np.eye(3)[i])[0]
        assert gradient[i] == pytest.approx((moved - place) / step, rel=1e-4)
    assert vertex(u, np.ones(3))[0] == 1.0
