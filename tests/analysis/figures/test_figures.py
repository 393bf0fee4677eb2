"""Every figure draws what is there, says what is not, keeps text apart, and is written with its data."""

import itertools
import re
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from dit_grid.analysis import law, write_figures
from dit_grid.analysis.figures import (
    compute_bubbles,
    metric_against_compute,
    metric_against_steps,
    metrics_against_compute,
    metrics_against_training_compute,
    sample_sheet,
    save,
    training_loss,
)
from dit_grid.analysis.figures.catalog import catalog
from dit_grid.analysis.figures.paper_folder import paper_charts
from dit_grid.analysis.figures.samples import mosaic
from dit_grid.analysis.figures.style import size_colours
from dit_grid.analysis.figures.training_compute import frontier
from dit_grid.analysis.results.frames import assemble

MODELS = [f"{s}/{p}" for s in ("S", "B", "L", "XL") for p in (8, 4, 2)]


def charts(results):
    return {
        "compute": metric_against_compute(law(results)),
        "steps": metric_against_steps(results, "fd_conv"),
        "loss": training_loss(results),
        "training": metrics_against_training_compute(results, ["fd_conv", "accuracy"]),
        "bubbles": compute_bubbles(law(results).points, None, "fd_conv", None, law(results).missing),
        "panels": metrics_against_compute([law(results, m) for m in ("fd_conv", "accuracy", "heldout_loss")]),
    }


@pytest.fixture(scope="module")
def drawn(planted):
    return charts(planted.results(noise=0.2)) | dict(paper_charts())


CHARTS = ["compute", "steps", "loss", "training", "panels", "figure2", "figure5", "figure8", "figure9", "figure10"]


@pytest.mark.parametrize("name", CHARTS)
def test_no_two_texts_overlap_and_none_leaves_the_page(drawn, name):
    chart = drawn[name]
    chart.draw_without_rendering()
    renderer = chart.canvas.get_renderer()
    inside_ticks = {t for ax in chart.axes for axis in (ax.xaxis, ax.yaxis) for t in _hidden_labels(axis)}
    texts = [t for t in chart.findobj(Text) if t.get_text().strip() and t.get_visible() and t not in inside_ticks]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts]
    page = chart.bbox
    for i, (text, box) in enumerate(boxes):
        assert min(box.x0 - page.x0, page.x1 - box.x1) >= -1, text  # 1 pixel: glyphs are antialiased
        for other, second in boxes[i + 1 :]:
            assert not box.overlaps(second), f"{text!r} covers {other!r}"


def _hidden_labels(axis):
    """Labels of ticks outside the view, or switched off: matplotlib keeps them as objects and does not draw them."""
    low, high = sorted(axis.get_view_interval())
    for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
        seen = low <= tick.get_loc() <= high
        for label, on in ((tick.label1, "label1On"), (tick.label2, "label2On")):
            if not seen or not getattr(tick, on[:-2]).get_visible():
                yield label


def markers(chart) -> Any:
    return [line for line in chart.axes[0].lines if line.get_marker() not in ("None", "")]


def test_every_point_of_the_law_is_drawn_once_where_it_belongs(planted):
    found = law(planted.results(noise=0.2))
    drawn = sorted(tuple(mark.get_xydata()[0]) for mark in markers(metric_against_compute(found)))
    assert drawn == sorted(zip(found.points["gmacs"], found.points["value"], strict=True))


def test_published_points_are_hollow_and_own_points_filled(planted):
    found = law(planted.results())
    published = found.points[["model", "size", "patch", "gmacs", "value"]].assign(value=lambda f: f["value"] * 2)
    faces = [mark.get_markerfacecolor() for mark in markers(metric_against_compute(found, published))]
    assert faces.count("white") == 12
    assert len(faces) == 24


def test_seven_panels_share_their_axes_and_hold_four_or_three_lines(drawn):
    panels = drawn["steps"].axes
    assert [len(ax.lines) for ax in panels] == [4, 4, 4, 3, 3, 3, 3]
    assert len({ax.get_xlim() for ax in panels}) == len({ax.get_ylim() for ax in panels}) == 1


def test_frontier_is_what_no_cheaper_row_beats():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"train_gmacs": rng.integers(1, 30, 60), "value": rng.normal(size=60)})
    edge = frontier(rows)
    for row in rows.to_dict("records"):
        affordable = rows.loc[rows["train_gmacs"] <= row["train_gmacs"], "value"]
        on_edge = ((edge["train_gmacs"] == row["train_gmacs"]) & (edge["value"] == row["value"])).any()
        beaten_earlier = (rows.loc[rows["train_gmacs"] < row["train_gmacs"], "value"] <= row["value"]).any()
        assert on_edge == (affordable.min() == row["value"] and not beaten_earlier)


def test_frontier_of_a_metric_that_grows_is_the_mirror_image():
    rows = pd.DataFrame({"train_gmacs": [1.0, 2, 3, 4], "value": [0.2, 0.1, 0.5, 0.4]})
    assert frontier(rows, lower_is_better=False)["value"].tolist() == [0.2, 0.5]
    assert frontier(rows)["value"].tolist() == [0.2, 0.1]


def test_partial_grid_draws_what_is_there_and_notes_the_rest(planted):
    runs, train, evals, events, states = planted.tables()

    gone = evals["run_id"].isin(["xl-2-000000", "s-8-000000"])
    results = assemble(runs, train, evals[~gone], events, states)
    assert metric_against_steps(results, "fd_conv").notes == ("S/8", "XL/2")
    assert metric_against_compute(law(results)).notes == ("S/8 seed 0 (done)", "XL/2 seed 0 (done)")


@pytest.mark.parametrize("grid", [{"stop": MODELS}, {"stop": MODELS[1:]}, {"sizes": {"S": (32, 2)}, "patches": (2,)}])
def test_any_grid_however_small_still_draws(planted, grid):
    for chart in charts(planted.results(**grid)).values():
        chart.draw_without_rendering()


def test_saved_data_are_what_was_drawn_and_files_do_not_change_between_runs(tmp_path, planted):
    chart, second = (metric_against_compute(law(planted.results(noise=0.2))) for _ in range(2))
    paths = save(chart, tmp_path / "a", "law")
    assert [p.suffix for p in paths] == [".png", ".svg", ".csv"]
    back = pd.read_csv(paths[2])
    pd.testing.assert_frame_equal(back, chart.data, check_dtype=False)
    again = save(second, tmp_path / "b", "law")
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]


def test_the_callers_matplotlib_settings_are_left_alone(planted):
    before = dict(matplotlib.rcParams)
    metric_against_compute(law(planted.results()))
    assert dict(matplotlib.rcParams) == before


def lightness(colour):
    """CIE L* of a colour; what remains of it in grey print."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    y = np.dot([0.2126, 0.7152, 0.0722], linear)
    return 116 * np.cbrt(y) - 16 if y > 0.008856 else 903.3 * y


# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_sizes_go_from_light_to_dark_for_every_eye(kind):
    colours = list(size_colours(["S", "B", "L", "XL"]).values())
    linear = np.array(
        [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(x)] for x in colours]
    )
    seen = np.clip(linear @ np.array(BLINDNESS[kind]).T, 0, 1)
    gamma = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    steps = np.diff([lightness(tuple(c)) for c in gamma])
    assert (steps < -10).all()  # ten units of L*, several times what the eye tells apart side by side


def test_sheet_places_models_and_leaves_missing_ones_empty():
    pictures = {m: np.full((10, 8, 8, 1), int(m[-1]) / 8, np.float32) for m in MODELS if m != "XL/2"}
    axes = np.array(sample_sheet(pictures).axes).reshape(3, 4)
    assert [ax.get_title() for ax in axes[0]] == ["S", "B", "L", "XL"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["patch 8", "patch 4", "patch 2"]
    assert not axes[2, 3].images
    assert axes[0, 0].images[0].get_array()[0, 0, 0] == 255
    assert axes[1, 0].images[0].get_array()[0, 0, 0] == 191  # 127.5 · 0.5 + 128, truncated as the paper's code does


def test_mosaic_maps_minus_one_to_black_and_one_to_white_in_reading_order():
    pictures = np.stack([np.full((2, 2, 3), v) for v in (-1.0, 0.0, 1.0)])
    page = mosaic(pictures, columns=2, rows=2)
    assert page.shape == (5, 5, 3)
    assert [page[0, 0, 0], page[0, 3, 0], page[3, 0, 0], page[3, 3, 0]] == [0, 128, 255, 255]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({}, "at least one"),
        ({"XL2": np.zeros((1, 8, 8, 1))}, "SIZE/PATCH"),
        ({"XL/2": np.zeros((8, 8, 1))}, r"need \(n, H, W, 1\)"),
        ({"XL/2": np.zeros((1, 8, 8, 4))}, r"need \(n, H, W, 1\)"),
    ],
)
def test_samples_of_another_form_are_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        sample_sheet(samples)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, planted):
    """All figures of a store that lacks one model; what was written, and where."""
    root = tmp_path_factory.mktemp("figures")
    where = planted.store(root / "store", noise=0.1, stop=("XL/2",))
    return write_figures(where, root / "out"), root / "out"


def test_write_figures_writes_all_that_a_store_gives(folder):
    written, out = folder
    names = {entry.name for entry in catalog()} - {"figure05_blocks", "figure10_sampling_compute", "sensitivity"}
    assert {p.name for p in written} == {f"{n}.{e}" for n in names for e in ("png", "svg", "csv")} | {"index.html"}
    assert all(p.stat().st_size for p in written)
    assert not re.search("nan|inf", (out / "figure13_training_loss.csv").read_text())


def test_the_gallery_shows_what_was_drawn_and_says_what_the_rest_needs(folder):
    _, out = folder
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len(catalog()) - 3
    for needed in ("two block designs of one model", "two or more numbers of sampler steps", "XL/2 seed 0 (started)"):
        assert needed in page
    assert not re.search(r"https?://", page)
    assert {(out / link).exists() for link in re.findall('href="([^"]+)"', page)} == {True}


def test_early_losses_are_drawn_however_short_the_runs(planted):
    runs, train, evals, events, states = planted.tables()
    few = assemble(runs, train[train["step"] % 500 == 0], evals, events, states)
    early: Any = training_loss(few).axes[1]
    assert all(len(line.get_xdata()) == 3 for line in early.lines)


def test_labels_of_a_compute_axis_within_one_decade_stay_apart(planted):
    results = planted.results(noise=0.1, sizes={"S": (32, 2), "B": (48, 3)}, patches=(8,))
    chart: Any = metrics_against_training_compute(results, ["fd_conv", "accuracy"])
    chart.draw_without_rendering()
    renderer = chart.canvas.get_renderer()
    low, high = chart.axes[0].get_xlim()
    ticks = [t for t in chart.axes[0].xaxis.get_major_ticks() if low <= t.get_loc() <= high]
    boxes = sorted((t.label1.get_window_extent(renderer) for t in ticks), key=lambda b: b.x0)
    assert len(boxes) >= 2
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert not any(label.get_text() for label in chart.axes[0].xaxis.get_minorticklabels())
