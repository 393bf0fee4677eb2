"""A sweep is told apart wherever its runs stand beside one another, and a tie is said, never broken in silence."""

import json

import pandas as pd
import pytest

from dit_grid import analysis
from dit_grid.analysis.figures.steps import metric_against_steps
from dit_grid.analysis.report.page import report_html
from dit_grid.analysis.results.frames import assemble
from dit_grid.analysis.results.protocols import main_protocol

RATES = (1e-2, 1e-4, 1e-3)
KEY = "data.share"  # no hyperparameter: those are tests/analysis/laws/test_tuning.py's
SIZES = {"S": (32, 2), "B": (48, 3), "L": (64, 4)}


def swept_tables(planted):
    """Three sizes on three shares of the data; the highest is the worst, and worse the larger the model."""
    runs, train, evals, events, states = planted.tables(seeds=(0, 1, 2), sizes=SIZES, patches=(4,))
    runs["spec"] = [
        json.dumps({"model": {"size": size, "patch": 4}, "data": {"share": RATES[seed]}})
        for size, seed in zip(runs["size"], runs["seed"], strict=True)
    ]  # fmt: skip
    runs["seed"] = 0
    worst = evals["run_id"].str.endswith("000000") & (evals["metric"] == "fd_conv")
    evals.loc[worst, "value"] *= 50
    return runs, train, evals, events, states


@pytest.fixture
def swept(planted):
    return assemble(*swept_tables(planted))


def test_the_results_table_has_the_swept_setting_in_order_of_its_value(swept):
    table = analysis.results_table(swept)
    assert list(zip(table["model"], table[KEY], strict=True)) == [
        (model, rate) for model in ("S/4", "B/4", "L/4") for rate in (1e-4, 1e-3, 1e-2)
    ]
    assert list(swept.evals.groupby("run_id")[KEY].nunique()) == [1] * 9


def test_settings_that_do_not_vary_or_have_columns_are_no_columns(planted):
    assert not [name for name in analysis.results_table(planted.results(seeds=(0, 1))) if "." in str(name)]


def test_the_law_of_a_tie_takes_the_lowest_value_and_says_so(swept):
    found = analysis.law(swept)
    assert found.fit is not None
    assert found.fit.params["exponent"].value == pytest.approx(-0.5, rel=1e-9)  # that of the two better rates
    (line,) = found.choices
    assert (
        line == f"3 recipes have 3 models each: taken is {KEY} 0.0001, the first in order; not {KEY} 0.001, {KEY} 0.01"
    )
    assert f"Tie: {line}." in found.to_text()
    assert len(found.left_out) == 6


def test_a_law_says_ties_cautions_and_what_is_no_number_together(planted):
    runs, train, evals, events, states = swept_tables(planted)
    forever = {"steps": 60, "ema": {"decay": 0.9999, "warmup": False}}
    specs = [json.loads(spec) for spec in runs["spec"]]
    runs["spec"] = [json.dumps(spec | {"train": forever}) for spec in specs]
    gone = (evals["run_id"] == "l-4-000000") & (evals["metric"] == "fd_conv")
    evals.loc[gone, "value"] = float("nan")
    found = analysis.law(assemble(runs, train, evals, events, states))
    assert found.choices[0].startswith("2 recipes have 3 models each")
    assert found.unusable.startswith(f"{gone.sum()} of {(evals['metric'] == 'fd_conv').sum()} values of fd_conv (nan")
    assert "are the initial weights" in found.cautions[0]
    assert all(said in found.to_text() for said in (*found.choices, found.unusable, *found.cautions))


def test_where_one_recipe_leads_nothing_is_a_tie(planted, swept):
    runs, train, evals, events, states = swept_tables(planted)
    fewer = evals[evals["run_id"].isin(runs["run_id"][~runs["run_id"].isin(["l-4-000000", "l-4-000001"])])]
    found = analysis.law(assemble(runs, train, fewer, events, states))
    assert found.choices == ()
    assert analysis.law(planted.results(seeds=(0, 1))).choices == ()


def test_where_runs_failed_all_models_are_taken_under_the_recipe_that_has_more_of_them(planted):
    """Not S under one and the others, whose runs failed, under the other: that would be no law of either."""
    runs, train, evals, events, states = planted.tables(seeds=(0, 1, 2, 3), sizes=SIZES, patches=(4,))
    shares = [RATES[seed % 2] for seed in runs["seed"]]
    runs["spec"] = [
        json.dumps({"model": {"size": size, "patch": 4}, "data": {"share": share}})
        for size, share in zip(runs["size"], shares, strict=True)
    ]
    runs["seed"] //= 2
    failed = evals["run_id"].isin(["b-4-000000", "l-4-000002"])  # under the first share
    found = analysis.law(assemble(runs, train, evals[~failed], events, states))

    assert found.choices == (
        f"2 recipes have 3 models each: taken is {KEY} {RATES[1]}, which has more runs; not {KEY} {RATES[0]}",
    )
    assert [line for line in found.left_out if f"{KEY} {RATES[1]}, not" in line] == []


def test_a_tie_of_families_is_said_too(planted):
    runs, train, evals, events, states = planted.tables(seeds=(0, 1), sizes=SIZES, patches=(4,))
    runs["batch"] = [32 if seed else 128 for seed in runs["seed"]]
    (line,) = analysis.law(assemble(runs, train, evals, events, states)).choices
    assert line == "2 families have 3 models each: taken is batch 32, the first in order; not batch 128"


def test_figures_draw_each_value_as_a_line_of_its_own(swept):
    chart = metric_against_steps(swept, "fd_conv")
    assert sorted(set(chart.data[KEY])) == sorted(RATES)
    assert set(chart.data["seeds"]) == {1}, "runs of other rates are no seeds"
    labels = {text.get_text() for ax in chart.axes for text in ax.texts}
    assert {"share 0.01", "share 0.001", "share 0.0001"} <= labels


def test_the_report_shows_the_column_and_the_tie(swept):
    page = report_html(swept)
    assert f'"key":"{KEY}","title":"share"' in page
    assert "3 recipes have 3 models each" in page


def test_settings_of_evaluation_that_tie_are_taken_by_guidance_and_said(planted):
    runs, train, evals, events, states = planted.tables()
    guided = evals[evals["metric"] == "fd_conv"].assign(protocol="0000", guidance=4.0, value=7.0)  # first as a string
    results = assemble(runs, train, pd.concat([guided, evals]), events, states)
    assert main_protocol(results.evals, "fd_conv") == "aaaa"
    said = "fd_conv was measured under 2 settings alike: shown is guidance 1, not guidance 4"
    assert said in analysis.law(results).choices
    assert said in analysis.remarks(results)
    assert analysis.law(results, "fd_conv", "0000").choices == ()
