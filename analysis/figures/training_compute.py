"""Metrics against training compute, a line a model, with the best reached for each budget: Figures 9 and 12 left.

What is here draws evaluations during training; the law of final values is `compute`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dit_grid.analysis.figures.axes import TRAIN_GMACS, log_x, plain_ticks
from dit_grid.analysis.figures.chart import Chart, drawing, headline, new_chart, x_title
from dit_grid.analysis.figures.curves import curves, draw_curve, draw_published, lines_of, without_a_line
from dit_grid.analysis.figures.metric_panels import panel_grid
from dit_grid.analysis.figures.style import legends, patch_handles, size_colours, size_handles
from dit_grid.analysis.results.frames import Results, metric_rows
from dit_grid.analysis.results.metric_names import metric_named


def metrics_against_training_compute(
    results: Results, metrics: Sequence[str] = ("fid",), published: pd.DataFrame | None = None
) -> Chart:
    """The chart with one panel a metric: its value over training compute (log axis), a line a model, mean over seeds.

    The grey staircase is the frontier: the best value that any model of the grid reached with at most that compute.
    `published` points (columns size, patch, train_gmacs, value, of the first metric) are drawn hollow.

    Raises:
        NotMeasuredError: one of the metrics was not measured.
    """
    parts = [curves(metric_rows(results, name), ("train_gmacs", "metric")) for name in metrics]
    data = pd.concat(parts, ignore_index=True)
    missing = without_a_line(results.runs, data)
    sizes, patches = list(dict.fromkeys(data["size"])), sorted(set(data["patch"]), reverse=True)
    with drawing():
        chart = new_chart(6.8 if len(metrics) == 1 else 9.8, 1.7 + 2.7 * -(-len(metrics) // 2), data, missing)
        for ax, name in zip(panel_grid(chart, len(metrics)), metrics, strict=True):
            rows = data[data["metric"] == name]
            first = name == metrics[0]
            _panel(ax, rows, name, size_colours(sizes), published if first else None, several=len(metrics) > 1)
        x_title(chart, TRAIN_GMACS)
        groups = [("Model size", size_handles(sizes, lines=True)), ("Patch size", patch_handles(patches))]
        legends(chart, groups)
    return chart


def frontier(rows: pd.DataFrame, lower_is_better: bool = True) -> pd.DataFrame:
    """The rows that no other row beats with at most the same `train_gmacs`, in order of compute."""
    best_first = rows.sort_values(["train_gmacs", "value"], ascending=[True, lower_is_better])
    best = best_first["value"].cummin() if lower_is_better else best_first["value"].cummax()
    reached_before = best.shift(fill_value=np.inf if lower_is_better else -np.inf)
    return best_first[best != reached_before]


def _panel(
    ax: Axes, rows: pd.DataFrame, name: str, colours: dict[str, str], published: pd.DataFrame | None, several: bool
) -> None:
    metric = metric_named(name)
    edge = frontier(rows, metric.lower_is_better)
    ax.step(edge["train_gmacs"], edge["value"], where="post", color="#c9c9c9", lw=4, zorder=1)
    for label, line in lines_of(rows):
        draw_curve(ax, line, "train_gmacs", colours, label, ms=5)
    draw_published(ax, published, "train_gmacs", colours)
    ax.set_yscale("log" if metric.log else "linear")
    log_x(ax)
    plain_ticks(ax, metric.log)
    title = metric.label if several else f"{metric.label} against training compute"
    hollow = "; hollow: the paper" if published is not None else ""
    headline(ax, title, f"grey: best for the compute{hollow}")
