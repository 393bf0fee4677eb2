"""Metrics against training compute, a line a model, with the best reached for each budget: Figures 9 and 12 left.

What is here draws evaluations during training; the law of final values is `compute`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dit_grid.analysis.figures.axes import TRAIN_GMACS, log_x, plain_ticks
from dit_grid.analysis.figures.chart import FAINT, Chart, drawing, new_chart
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

KEEP = ["run_id", "model", "size", "patch", "params", "step", "train_gmacs", "metric", "value"]


def metrics_against_training_compute(results: Results, metrics: Sequence[str] = ("fid",)) -> Chart:
    """The chart with one panel a metric: its value over training compute (log axis), a line a run.

    The grey staircase is the frontier: the best value that any run of the grid reached with at most that compute.

    Raises:
        ValueError: one of the metrics was not measured.
    """
    data = in_grid_order(pd.concat([metric_rows(results, name)[KEEP] for name in metrics], ignore_index=True))
    missing = tuple(sorted(set(results.runs["model"]) - set(data["model"])))
    sizes, patches = list(dict.fromkeys(data["size"])), sorted(set(data["patch"]), reverse=True)
    with drawing():
        chart = new_chart(6.8 if len(metrics) == 1 else 9.8, 1.7 + 2.7 * -(-len(metrics) // 2), data, missing)
        axes = chart.subplots(-(-len(metrics) // 2), min(len(metrics), 2), squeeze=False).ravel()
        for ax, name in zip(axes, metrics, strict=False):
            _panel(ax, data[data["metric"] == name], name, size_colours(sizes))
        for ax in axes[len(metrics) :]:
            ax.remove()
        chart.supxlabel(TRAIN_GMACS, fontsize=9)
        groups = [("Model size", size_handles(sizes, lines=True)), ("Patch size", patch_handles(patches))]
        legends(chart, groups)
    return chart


def frontier(rows: pd.DataFrame, lower_is_better: bool = True) -> pd.DataFrame:
    """The rows that no other row beats with at most the same `train_gmacs`, in order of compute."""
    best_first = rows.sort_values(["train_gmacs", "value"], ascending=[True, lower_is_better])
    best = best_first["value"].cummin() if lower_is_better else best_first["value"].cummax()
    reached_before = best.shift(fill_value=np.inf if lower_is_better else -np.inf)
    return best_first[best != reached_before]


def _panel(ax: Axes, rows: pd.DataFrame, name: str, colours: dict[str, str]) -> None:
    metric = metric_named(name)
    edge = frontier(rows, metric.lower_is_better)
    ax.step(edge["train_gmacs"], edge["value"], where="post", color="#c9c9c9", lw=4, zorder=1)
    for _, run in rows.groupby("run_id", sort=False):
        size, patch = run["size"].iloc[0], run["patch"].iloc[0]
        look = {"color": colours[size], "ls": patch_dashes(patch), "marker": patch_marker(patch)}
        ax.plot(run["train_gmacs"], run["value"], lw=1.4, ms=5, mec="white", mew=0.5, **look)
    log_x(ax)
    ax.set_yscale("log" if metric.log else "linear")
    plain_ticks(ax, metric.log)
    ax.set_title(metric.label, loc="left", fontweight="bold")
    ax.text(1, 1.02, "grey: best for the compute", transform=ax.transAxes, ha="right", color=FAINT, fontsize=8)
