"""Metric against training step: the paper's Figure 6, seven panels that share their axes, and one panel for few runs.

What is here draws lines of a metric; training losses are `losses`, compute on the x axis is `frontier`.
"""

from collections.abc import Iterator
from itertools import chain
from math import lcm

import pandas as pd
from matplotlib.axes import Axes

from dit_grid.analysis.figures.axes import plain_ticks, step_ticks
from dit_grid.analysis.figures.chart import Chart, drawing, new_chart
from dit_grid.analysis.figures.style import (
    legends,
    patch_dashes,
    patch_handles,
    patch_marker,
    size_colours,
    size_handles,
)
from dit_grid.analysis.metrics import metric_named
from dit_grid.analysis.results import Results, in_grid_order, metric_rows

LINE = ("model", "size", "patch", "params", "step")


def metric_against_steps(
    results: Results, metric: str, protocol: str | None = None, log_y: bool | None = None
) -> Chart:
    """The chart of a metric over training steps: top one panel a patch size, below one panel a model size.

    Lines are means over seeds. Models without a value are left out of the lines and named in `notes`.

    Raises:
        ValueError: nothing of this metric was measured.
    """
    known = metric_named(metric)
    lines = curves(metric_rows(results, metric, protocol))
    missing = tuple(sorted(set(results.runs["model"]) - set(lines["model"])))
    log_y = known.log if log_y is None else log_y
    sizes, patches = list(dict.fromkeys(lines["size"])), sorted(set(lines["patch"]), reverse=True)
    rows = [
        [(f"Patch size {patch}", lines[lines["patch"] == patch]) for patch in patches],
        [(f"Size {size}", lines[lines["size"] == size]) for size in sizes],
    ]
    with drawing():
        chart = new_chart(10.2, 5.6, lines, missing)
        for ax, (title, part) in zip(_axes(chart, [len(row) for row in rows]), chain(*rows), strict=True):
            _panel(ax, title, part, size_colours(sizes))
            ax.set_yscale("log" if log_y else "linear")
            plain_ticks(ax, log_y)
        chart.supylabel(known.label, fontsize=9)
        chart.supxlabel("training step", fontsize=9)
        legends(
            chart, [("Model size", size_handles(sizes, lines=True)), ("Patch size", patch_handles(patches, lines=True))]
        )
    return chart


def _axes(chart: Chart, counts: list[int]) -> Iterator[Axes]:
    """Rows of so many panels each, all with the same axes, labelled at the left and at the bottom."""
    grid = chart.add_gridspec(len(counts), lcm(*counts))
    first: Axes | None = None
    for row, count in enumerate(counts):
        wide = lcm(*counts) // count
        for column in range(count):
            cell = grid[row, column * wide : (column + 1) * wide]
            ax = chart.add_subplot(cell, sharex=first, sharey=first)
            ax.tick_params(labelleft=column == 0)
            first = first or ax
            yield ax


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a model and step: `value` is the mean over seeds, `seeds` their number."""
    grouped = rows.groupby(list(LINE))["value"].agg(value="mean", seeds="size").reset_index()
    return in_grid_order(grouped.sort_values("step", kind="stable"))


def _panel(ax: Axes, title: str, part: pd.DataFrame, colours: dict[str, str]) -> None:
    for _, line in part.groupby("model", sort=False):
        size, patch = line["size"].iloc[0], line["patch"].iloc[0]
        look = {"color": colours[size], "ls": patch_dashes(patch), "marker": patch_marker(patch)}
        ax.plot(line["step"], line["value"], lw=1.6, ms=4.5, mec="white", mew=0.5, **look)
    ax.set_title(title, loc="left", fontweight="bold")
    step_ticks(ax)
