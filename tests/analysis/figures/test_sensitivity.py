"""The figure of a sweep shows every value with the best and edges marked; other figures and the page show the best."""

from typing import Any

import numpy as np
import pytest

from dit_grid.analysis.figures.catalog import drawn
from dit_grid.analysis.figures.material import Material
from dit_grid.analysis.figures.sensitivity import metric_against_settings
from dit_grid.analysis.report.page import report_html
from dit_grid.analysis.results.frames import assemble


@pytest.fixture(scope="module")
def swept(planted, sweeping):
    """Two sizes in, one at the upper edge; the highest rate of XL/4 diverged."""
    runs, train, evals, events, states = sweeping.swept_tables(planted, patches=(4,), rates=sweeping.FACTOR_2[:6])
    gone = {name for name in states if name.startswith("xl-4") and "-0.0032-" in name}
    kept = evals[~evals["run_id"].isin(gone)]
    return assemble(runs, train, kept, events, states, failures=dict.fromkeys(gone, "nan"))


def stars(chart):
    return [line for ax in chart.axes for line in ax.lines if line.get_marker() == "*"]


def places(line: Any):
    return np.asarray(line.get_xdata(), dtype=float)


def test_a_line_a_model_with_its_best_and_its_edge_marked(sweeping, swept):
    chart = metric_against_settings(Material(swept, {}).tunings)
    (ax,) = chart.axes
    assert ax.get_xscale() == "log"
    assert [places(line)[0] for line in stars(chart)] == [3.2e-3, 1.6e-3, 1.6e-3, 1.6e-3]
    assert [line.get_markerfacecolor() == "white" for line in stars(chart)] == [True, False, False, False]
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    assert places(cross)[0] == 3.2e-3
    assert len(chart.data) == 24
    assert len([line for line in ax.lines if len(places(line)) > 1]) == 4


def test_a_setting_in_words_has_a_place_each(planted, sweeping):
    runs, train, evals, events, states = sweeping.swept_tables(planted, patches=(4,), rates=sweeping.FACTOR_2[3:6])
    runs["spec"] = [f'{{"train": {{"optimizer": {{"name": "{name}"}}}}}}' for name in ("adamw", "lion", "sgd") * 4]
    chart = metric_against_settings(Material(assemble(runs, train, evals, events, states), {}).tunings)
    (ax,) = chart.axes
    assert ax.get_xscale() == "linear"
    chart.draw_without_rendering()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["adamw", "lion", "sgd"]


def test_other_figures_show_the_best_of_each_model(swept):
    found = {entry.name: chart for entry, chart in drawn(swept, {}, ("figure06_steps", "figure08_compute"))}
    assert sorted(found["figure06_steps"].data["model"].unique()) == ["B/4", "L/4", "S/4", "XL/4"]
    assert len(found["figure06_steps"].data) == 4 * 4, "one line a model"
    words = [text.get_text() for text in found["figure08_compute"].legends[0].get_texts()]
    assert "best over\nlearning_rate" in words


def test_a_store_without_a_sweep_says_what_would_make_one(planted):
    ((entry, reason),) = drawn(planted.results(), {}, ("sensitivity",))
    assert entry.number == ""
    assert str(reason).startswith("no hyperparameter was swept")


def test_the_page_has_the_picture_and_the_caution_before_it(swept):
    page = report_html(swept)
    head = page[: page.index("<section")]
    assert "best over learning_rate" in head
    assert "best of S/4 is at the highest learning_rate tried (0.0032)" in head[: head.index("<details")]
    below = page[page.index("<section") :]
    assert "data:image/png;base64," in below[below.index("What was swept") :]
