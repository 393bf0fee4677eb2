"""Metric against training step: the paper's Figure 6, a panel a patch size above a panel a model size, shared axes.

What is here draws lines of a metric; training losses are `losses`, compute on the x axis is `training_compute`.
"""

from collections.abc import Iterator
from itertools import chain
from math import lcm

import pandas as pd
from matplotlib.axes import Axes

from dit_grid.analysis.figures.axes import plain_ticks, step_ticks
from dit_grid.analysis.figures.chart import Chart, drawing, new_chart, x_title
from dit_grid.analysis.figures.curves import curves, draw_curve, draw_published, lines_of, without_a_line
from dit_grid.analysis.figures.style import few, legends, patch_handles, size_colours, size_handles
from dit_grid.analysis.results.frames import Results, metric_rows
from dit_grid.analysis.results.metric_names import metric_named

MOST_PANELS = 6
"""Panels in a row; of more sizes or patch sizes, as many evenly chosen ones get a panel."""


def metric_against_steps(
    results: Results,
    metric: str,
    protocol: str | None = None,
    log_y: bool | None = None,
    published: pd.DataFrame | None = None,
) -> Chart:
    """The chart of a metric over training steps: top one panel a patch size, below one panel a model size.

    Lines are means over seeds. Models without a value are left out of the lines and named in `notes`. `published`
    points (columns size, patch, step, value) are drawn hollow.

    Raises:
        NotMeasuredError: nothing of this metric was measured.
    """
    known = metric_named(metric)
    lines = curves(metric_rows(results, metric, protocol))
    missing = without_a_line(results.runs, lines)
    log_y = known.log if log_y is None else log_y
    sizes, patches = list(dict.fromkeys(lines["size"])), sorted(set(lines["patch"]), reverse=True)
    rows = [
        [
            (f"Patch size {patch}" if patch else "All models", _part(lines, "patch", patch))
            for patch in few(patches, MOST_PANELS)
        ],
        [(f"Size {size}", _part(lines, "size", size)) for size in few(sizes, MOST_PANELS)],
    ]
    with drawing():
        chart = new_chart(10.2, 5.6, lines, missing)
        for ax, (title, part) in zip(_axes(chart, [len(row) for row in rows]), chain(*rows), strict=True):
            _panel(ax, title, part, size_colours(sizes), published)
            ax.set_yscale("log" if log_y else "linear")
            plain_ticks(ax, log_y)
        chart.supylabel(known.label, fontsize=9)
        x_title(chart, "training step" + (" (hollow: the paper)" if published is not None else ""))
        legends(
            chart, [("Model size", size_handles(sizes, lines=True)), ("Patch size", patch_handles(patches, lines=True))]
        )
    return chart


def _part(lines: pd.DataFrame, column: str, value: object) -> pd.DataFrame:
    return lines[lines[column] == value]


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


def _panel(ax: Axes, title: str, part: pd.DataFrame, colours: dict[str, str], published: pd.DataFrame | None) -> None:
    for label, line in lines_of(part):
        draw_curve(ax, line, "step", colours, label)
    if published is not None:
        here = set(zip(part["size"], part["patch"], strict=True))
        shown = [pair in here for pair in zip(published["size"], published["patch"], strict=True)]
        draw_published(ax, published[shown], "step", colours)
    ax.set_title(title, loc="left", fontweight="bold")
    step_ticks(ax)
