"""The report: one file without network, right numbers, nothing of a store read as markup, and a page that works."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from dit_grid.analysis import law, load
from dit_grid.analysis.laws import scaling
from dit_grid.analysis.report import Besides, report_html, write_report
from dit_grid.analysis.report.history import History, Trouble, read_history
from dit_grid.analysis.report.settings import settings
from dit_grid.analysis.results.frames import Results, assemble
from dit_grid.experiments.store import Store

FEW: Any = {"sizes": {"S": (32, 2), "B": (48, 3)}, "patches": (8, 4)}


def data_of(page: str) -> Any:
    found = re.search(r"id=data>(.*?)</script>", page, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.fixture(scope="module")
def store(tmp_path_factory, planted):
    where = planted.store(tmp_path_factory.mktemp("report") / "store", noise=0.1, stop=("XL/2",), seeds=(0, 1))
    opened = Store.open(where)
    attempt = opened.begin_attempt("xl-2-000000", 0, {"device": "cpu", "versions": {"jax": "9.9"}})
    opened.end_attempt(attempt, "failed", {"message": "NonFiniteLossError: <b>x</b>", "traceback": "Traceback: y"})
    return where


@pytest.fixture(scope="module")
def page(store, tmp_path_factory):
    return write_report(store, tmp_path_factory.mktemp("page") / "report.html")


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "data", "action") and value]


def test_the_page_asks_the_network_for_nothing(page):
    text = page.read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert all(link.startswith(("#", "data:")) for link in links.found)
    assert not re.search(r"@import|url\((?!#)|https?://(?!www\.w3\.org/2000/svg)", text)


def test_the_page_holds_every_final_value_and_the_plots_it_opens_with(store, page):
    results, data = load(store), data_of(page.read_text(encoding="utf-8"))
    drawn = sorted(values[-1] for _, values in data["curves"]["fd_conv"].values() if len(values) == 4)
    finals = results.evals.query("metric == 'fd_conv' and step == steps")["value"]
    assert drawn == pytest.approx(sorted(finals), rel=1e-5)  # six digits travel
    assert [view["id"] for view in data["views"]] == ["law", "along-step", "along-train-gmacs", "loss"]
    in_law = {run["id"] for run in data["runs"] if "fd_conv" in run["laws"]}
    assert len(in_law) == law(results).points["seeds"].sum()


def test_the_law_of_each_metric_is_found_once_for_all_sections(planted, monkeypatch):
    found, honest = [], scaling.largest_family  # which each law asks once

    def counted(*rows):
        found.append(rows)
        return honest(*rows)

    monkeypatch.setattr(scaling, "largest_family", counted)
    results = planted.results(**FEW)
    report_html(results)
    assert len(found) == results.evals["metric"].nunique() == 3


def test_the_headline_says_what_tenfold_compute_does(planted):
    text = report_html(planted.results(**FEW))
    assert "Ten times the compute divides the Fréchet distance by 3.2 [3.2, 3.2]" in text  # 10^0.5 = 3.16


def test_a_refit_finds_all_it_needs(page):
    text = page.read_text(encoding="utf-8")
    for item in (
        "Objective",
        "Loss",
        "Optimiser and starts",
        "Dropped",
        "Left out",
        "Replicates",
        "Intervals",
        "Points",
    ):
        assert f"<dt>{item}</dt>" in text


def test_runs_of_another_block_design_are_told_apart_and_named_as_left_out_of_the_law(planted):
    runs, *rest = planted.tables(**FEW)
    other = runs["model"] == "B/4"
    runs.loc[other, "block"] = "in-context"
    text = report_html(assemble(runs, *rest))
    named = "; ".join(f"{run} (block in-context, not adaln-zero)" for run in runs.loc[other, "run_id"])
    assert f"<dt>Left out</dt><dd>{named}</dd>" in text
    data = data_of(text)
    assert [run["id"] for run in data["runs"] if run.get("block") == "in-context"] == list(runs["run_id"][other])
    assert "block" in [column["key"] for column in data["columns"]]
    assert not any("fd_conv" in run["laws"] for run in data["runs"] if run.get("block") == "in-context")


def test_what_failed_is_shown_as_text(page):
    text = page.read_text(encoding="utf-8")
    assert "NonFiniteLossError: &lt;b&gt;x&lt;/b&gt;" in text
    assert "<b>x</b>" not in text
    assert "Traceback: y" in text


def test_markup_in_names_stays_text(planted):
    runs, train, evals, events, states = planted.tables(**FEW)
    evil = "</script><script>alert(1)</script>"
    runs["experiment"] = evil
    text = report_html(
        assemble(runs, train, evals, events, states, evil),
        Besides(history=History(1, {}, {}, {}, (Trouble(evil, 1, evil, evil, evil),))),
    )
    assert "<script>alert" not in text


@pytest.mark.parametrize("models", [0, 1, 2])
def test_a_grid_that_has_only_begun_has_a_page(planted, models):
    everything = [f"{s}/{p}" for s in ("S", "B", "L", "XL") for p in (8, 4, 2)]
    text = report_html(planted.results(stop=everything[models:]))
    assert re.search(rf"{models} models? ha(s|ve) a final", text) or "Nothing was measured yet" in text


def test_a_store_without_any_row_has_a_page(planted):
    runs, train, evals, events, _ = planted.tables()
    assert "Nothing was measured yet" in report_html(assemble(runs, train.head(0), evals.head(0), events, {}))


def test_history_counts_every_attempt_once(store):
    history = read_history(store, load(store).runs["run_id"])
    assert history.attempts == 25  # 24 runs, one of them begun again
    assert history.outcomes == {"done": 22, "not ended": 2, "failed": 1}
    assert history.versions == {"jax": "9.9"}


def test_settings_part_what_is_shared_from_what_varies(planted):
    runs, *rest = planted.tables()
    runs["spec"] = [json.dumps({"train": {"batch": 128}, "model": {"patch": p}}) for p in runs["patch"]]
    shared, varied = settings(assemble(runs, *rest))
    assert shared == "train:\n  batch: 128\n"
    assert varied == ["model.patch: 8, 4, 2"]


def test_a_store_in_a_bucket_has_a_report_too(bucket, planted):
    where = planted.store("gs://bucket/grid", noise=0.1, **FEW)
    assert data_of(report_html(load(where)))["curves"]["fd_conv"]
    assert read_history(where, load(where).runs["run_id"]).attempts == 4


WIDE = "document.documentElement.scrollWidth"
SHOWN = "document.querySelector('#plot-law').series.length"


def until(tab, expression):
    """Wait until the expression is true; fail after ten seconds, in which a busy machine does anything."""
    tries = f"for (let i = 0; i < 200 && !({expression}); i++) await new Promise(done => setTimeout(done, 50))"
    assert tab.ask(f"(async () => {{ {tries}; return {expression}; }})()")


def test_the_page_works_in_a_browser_at_desk_and_phone_width(page, headless):
    with headless() as tab:
        for width in (390, 1280):
            tab.open(page.as_uri(), width)
            assert tab.ask(WIDE) <= width
            assert tab.ask(SHOWN) == 22
            parts = "[...document.querySelectorAll('.plot text, nav a, #runs-table td, .listed td')]"
            assert max(tab.ask(f"{parts}.map(part => part.getBoundingClientRect().right)")) <= width
        assert tab.errors == []


def test_a_column_of_numbers_writes_all_of_them_by_powers_of_ten_or_none(page, headless):
    with headless() as tab:
        tab.open(page.as_uri(), 1280)
        column = "[...document.querySelectorAll('#runs-table th')].findIndex(head => head.textContent === 'GMACs')"
        rows = "[...document.querySelectorAll('#runs-table tbody tr')]"
        texts = tab.ask(f"{rows}.map(row => row.cells[{column}].textContent)")
        assert {"·10⁻" in text for text in texts} == {True}, texts


def test_the_page_answers_pointer_keys_and_sorting(page, headless):
    with headless() as tab:
        tab.open(page.as_uri(), 1280, dark=True)
        tab.ask("document.querySelector('#plot-law').focus()")
        tab.key("ArrowRight")
        assert tab.ask("document.querySelector('#tip').textContent").startswith("S/8")
        tab.key("Escape")
        assert tab.ask("document.querySelector('#tip').hidden")
        steps = "document.querySelector('#plot-loss').view.zoom?.x.map(Math.round)"
        tab.ask("document.querySelector('#plot-loss').scrollIntoView({behavior: 'instant', block: 'center'})")
        corner = "(b => [b.left, b.top])(document.querySelector('#plot-loss').getBoundingClientRect())"
        left, top = tab.ask(corner)
        for kind, x, buttons in (("mousePressed", 200, 1), ("mouseMoved", 400, 1), ("mouseReleased", 400, 0)):
            place = {"x": left + x, "y": top + 100, "button": "left", "buttons": buttons, "clickCount": 1}
            tab.call("Input.dispatchMouseEvent", type=kind, **place)
        first, last = tab.ask(steps)
        assert 0 < first < last < 1500
        tab.ask("document.querySelector('#plot-loss').focus()")
        tab.key("Escape")
        assert tab.ask(steps) is None
        left, top = tab.ask(corner)  # zooming opened the tools above the plot
        x, y = tab.ask("(p => [p.x[9], p.y[9]])(document.querySelector('#plot-loss').points)")
        for kind in ("mousePressed", "mouseReleased"):
            tab.call("Input.dispatchMouseEvent", type=kind, x=left + x, y=top + y, button="left", clickCount=1)
        until(tab, "location.hash.startsWith('#run=s-8-')")
        tab.ask("location.hash = 'plots'")
        until(tab, "!document.querySelector('#report').hidden")
        before = tab.ask(SHOWN)
        tab.ask("document.querySelector('#legend button').click()")
        assert tab.ask(SHOWN) == before - 6  # three patch sizes of S, two seeds each
        tab.ask("document.querySelector('#legend button').click()")
        first = "document.querySelector('#runs-table tbody tr td').textContent"
        params = "[...document.querySelectorAll('#runs-table th button')].find(b => b.title === 'params').click()"
        tab.ask(params)
        assert tab.ask(first).startswith("S/")
        tab.ask(params)
        assert tab.ask(first).startswith("XL/")
        tab.ask("{const f = document.querySelector('#filter'); f.value = 'B/4'; f.dispatchEvent(new Event('input'))}")
        assert tab.ask("document.querySelectorAll('#runs-table tbody tr').length") == 2
        assert tab.errors == []


def test_the_law_of_the_page_is_the_analysis_own_and_follows_the_filter(store, page, headless):
    """The page fits by itself, so that a filter needs no server: the same exponent, interval and scatter."""
    everything = load(store)
    kept = everything.runs[everything.runs["patch"] != 8]["run_id"]
    frames = (everything.runs, everything.train, everything.evals)
    runs, train, evals = (frame[frame["run_id"].isin(kept)] for frame in frames)
    fitted = "(({fit}) => [fit.effect, fit.low, fit.high, fit.sigma, fit.n])(document.querySelector('#plot-law').law)"
    with headless() as tab:
        tab.open(page.as_uri(), 800)
        for results in (everything, Results(runs, train, evals, everything.events)):
            own: Any = law(results).fit
            exponent = own.params["exponent"]
            wanted = [exponent.value, exponent.low, exponent.high, own.sigma, own.n]
            assert tab.ask(fitted) == pytest.approx(wanted, rel=1e-4)  # six digits travel
            tab.ask("[...document.querySelectorAll('#legend button')].find(b => b.textContent === 'patch 8').click()")
        assert tab.errors == []


def test_a_run_has_a_page_with_neighbours_attempts_and_samples(page, headless):
    with headless() as tab:
        tab.open(page.as_uri() + "#run=xl-2-000000", 390)
        text = tab.ask("document.querySelector('#run').innerText")
        assert "XL/2 seed 0" in text
        assert "NonFiniteLossError" in text
        assert tab.ask("document.querySelectorAll('#run .strip img').length") == 3
        assert tab.ask("document.querySelector('#report').hidden")
        assert tab.ask(WIDE) <= 390
        assert tab.errors == []


def test_any_plot_leaves_as_csv_with_the_runs_behind_its_points(page, headless):
    with headless() as tab:
        tab.open(page.as_uri(), 800)
        tab.ask("window.kept = null; URL.createObjectURL = blob => { window.kept = blob; return '#'; }")
        tab.ask("[...document.querySelectorAll('figure button')].find(b => b.textContent === 'CSV').click()")
        lines = tab.ask("window.kept.text()").splitlines()
        assert lines[0] == "run_ids,model,size,patch,seeds,step,gmacs,fd_conv,smoothed"
        assert len(lines) == 1 + 22


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308, 0.0, -1.0])
@pytest.mark.parametrize("damaged", ["one", "all"])
def test_values_that_are_no_numbers_are_left_out_and_said(planted, value, damaged):
    """The figures of a diverged run are NaN or beyond arithmetic: page, law and words are there without them."""
    runs, train, evals, events, states = planted.tables(**FEW)
    bad = evals["metric"].eq("fd_conv") & (evals["run_id"].eq("s-8-000000") | (damaged == "all"))
    evals.loc[bad, "value"] = value
    train["loss"] = train["loss"].where(train["run_id"].ne("s-8-000000") & (damaged == "one"), value)
    results = assemble(runs, train, evals, events, states)
    text, found = report_html(results), law(results, "fd_conv")
    data = data_of(text)
    points = [value for runs in data["curves"].values() for _, values in runs.values() for value in values]
    assert all(np.isfinite(points))
    assert len(points) > 0
    assert f"{bad.sum()} of {len(evals[evals['metric'] == 'fd_conv'])} values of fd_conv ({value:.3g} " in text
    assert f"  No number to draw or fit: {bad.sum()} of " in found.to_text()
    assert any(f"S/8 seed 0 (fd_conv is {value:.3g})" == run for run in found.missing)
    if value not in (0.0, -1.0):
        assert "values of the training loss" in text


@pytest.mark.parametrize(
    "name", ["{{data}}", "{{script}}{{body}}", "</script><script>alert(1)</script>", '"><img src=x>']
)
def test_a_name_is_only_ever_a_name(planted, name):
    """Filled in once, escaped: no run's name displaces the page's data, ends its script or adds an element."""
    runs, train, evals, events, states = planted.tables(**FEW)
    runs = runs.assign(experiment=name, dataset=name, size=runs["size"] + name, model=runs["model"] + name)
    text = report_html(assemble(runs, train, evals, events, states, name))
    data = data_of(text)
    assert data["sizes"] == [f"S{name}", f"B{name}"]
    assert "<img" not in text
    assert "alert(1)</script>" not in text.replace("\\u003c", "<u003c")
    assert text.count("<script") == 2
