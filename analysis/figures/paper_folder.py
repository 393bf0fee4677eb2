"""The paper's tables and figures from its published numbers, with nothing run, written to a folder.

What is here puts data and figures together and says which curves need runs; the data are `tables`.
"""

from collections.abc import Iterator
from pathlib import Path

from dit_grid.analysis.figures import Chart, metric_against_compute, metric_against_steps, save
from dit_grid.analysis.figures.blocks import blocks_against_steps
from dit_grid.analysis.figures.bubbles import compute_bubbles
from dit_grid.analysis.figures.catalog import Entry
from dit_grid.analysis.figures.folder import GALLERY, gallery
from dit_grid.analysis.figures.material import Material
from dit_grid.analysis.figures.metric_panels import metrics_against_compute
from dit_grid.analysis.figures.sampling_compute import metric_against_sampling_compute
from dit_grid.analysis.figures.training_compute import metrics_against_training_compute
from dit_grid.analysis.laws.scaling import law
from dit_grid.analysis.paper.selections import (
    SAMPLER_STEPS,
    figure10,
    figure10_compute,
    other_methods,
    paper_law,
    twelve,
    with_long_run,
)
from dit_grid.analysis.paper.tables import paper_results, table
from dit_grid.analysis.results.frames import NotMeasuredError
from dit_grid.analysis.results.metric_names import metric_named

ABOUT = "What the numbers printed in Peebles & Xie 2022 (arXiv 2212.09748) show, with nothing run. Data beside as CSV."
NOT_PRINTED = "Not in the printed numbers"

TITLES = {
    "2": "Final FID, compute as area",
    "5": "Block designs at 400K steps",
    "6": "Every model at 400K steps",
    "7": "Samples from the same noise",
    "8": "The paper's correlation and line",
    "9": "Against training compute",
    "10": "Against sampling compute",
    "12": "Metrics against compute",
    "13": "Training loss",
}

NEED_RUNS = {
    "5": "lines from 100K to 400K steps; the four end points are drawn",
    "6": "lines over steps; the twelve end points at 400K are drawn",
    "7": "pictures need checkpoints",
    "9": "lines over training compute; end points and the long XL/2 run are drawn",
    "10": "70 of 72 points; the two that the text gives are drawn, and the compute axis is figure10_compute.csv",
    "12": "sFID, IS, precision and recall of the twelve models; FID end points are drawn",
    "13": "training losses are not published",
}
"""What of each figure cannot be had from printed numbers."""


def analyze_paper(out: str | Path) -> list[Path]:
    """The files written to `out`: tables 1 to 6 as CSV, every figure that printed numbers allow, and `paper.txt`."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    frames = {f"table{n}": table(n) for n in range(1, 7)} | {"figure10_compute": figure10_compute()}
    written = [folder / f"{name}.csv" for name in frames]
    for path, frame in zip(written, frames.values(), strict=True):
        frame.to_csv(path, index=False)
    charts = dict(paper_charts())
    written += [path for name, chart in charts.items() for path in save(chart, folder, name)]
    text, page = folder / "paper.txt", folder / GALLERY
    text.write_text(paper_text() + "\n", encoding="utf-8")
    page.write_text(gallery(twelve(), list(_entries(charts)), folder, ABOUT, NOT_PRINTED), encoding="utf-8")
    return [*written, text, page]


def _entries(charts: dict[str, Chart]) -> Iterator[tuple[Entry, Chart | str]]:
    """What the gallery shows: every chart under its number, then what needs runs."""
    for name, chart in charts.items():
        number, _, panel = name.removeprefix("figure").partition("_")
        side = {"training_compute": " left", "forward_compute": " right"}.get(panel, "")
        yield Entry(f"{number}{side}", name, TITLES[number], _not_from_a_store), chart
    for number, what in NEED_RUNS.items():
        yield Entry(number, "", TITLES[number], _not_from_a_store), what


def _not_from_a_store(_: Material) -> Chart:
    """The gallery's entries of the paper are drawn from its tables, not from a store."""
    raise NotMeasuredError("drawn from the paper's tables by `paper_charts`")


def paper_text() -> str:
    """The paper's correlation with its interval, its line, and which curves need runs."""
    found = paper_law()
    needs = [f"  Figure {number}: {what}" for number, what in NEED_RUNS.items()]
    return "\n".join([found.to_text(), "", f"{NOT_PRINTED}:", *needs])


def paper_charts() -> Iterator[tuple[str, Chart]]:
    """Yield (file name, chart) of each of the paper's figures that printed numbers allow."""
    found, grid = paper_law(), twelve()
    yield "figure2", compute_bubbles(found.points, other_methods())
    yield "figure5", blocks_against_steps(paper_results(), "fid", "XL/2", 400_000)
    yield "figure6", metric_against_steps(grid, "fid", log_y=False)
    yield "figure8", metric_against_compute(found, log_y=False)
    yield "figure9", metrics_against_training_compute(with_long_run(), ["fid"])
    compute = figure10_compute()
    span = (compute[SAMPLER_STEPS[0]].min() / 1.5, compute[SAMPLER_STEPS[-1]].max() * 1.5)
    note = "the two FID-10K values that the text gives, on the axis of all twelve models"
    yield "figure10", metric_against_sampling_compute(figure10(), "fid", note, span)
    yield "figure12_training_compute", metrics_against_training_compute(grid, ["fid"])
    others = tuple(metric_named(name).label for name in ("sfid", "is", "precision", "recall"))
    yield "figure12_forward_compute", metrics_against_compute([law(grid, "fid")], others)
