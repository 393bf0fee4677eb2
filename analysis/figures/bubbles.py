"""Bubbles whose area is compute: the paper's Figure 2, its own models at the left, other methods at the right.

What is here compares values at the end of training; nothing is fitted.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, ScalarFormatter

from dit_grid.analysis.figures.axes import plain_ticks
from dit_grid.analysis.figures.chart import FAINT, INK, Chart, drawing, headline, new_chart
from dit_grid.analysis.figures.curves import reads
from dit_grid.analysis.figures.style import few, size_colours

LARGEST = 2600.0
"""Area of the largest bubble, square points."""

LINE = 11.0
"""Height of a line of text, points."""

WIDE = 15.0
"""A range of values above this ratio is drawn on a logarithmic axis; the paper's, 8 : 1, is linear."""


def compute_bubbles(
    points: pd.DataFrame,
    methods: pd.DataFrame | None = None,
    metric: str = "fid",
    published: pd.DataFrame | None = None,
    notes: tuple[str, ...] = (),
) -> Chart:
    """The chart of Figure 2: left a column a model size, right a column a method; area is forward GMACs.

    `points` and `published` (drawn as rings) have columns size, patch, gmacs, value; `methods` name, gmacs, value, own
    (True for this architecture, drawn dark).
    """
    parts = [points.assign(panel="models"), *([] if methods is None else [methods.assign(panel="methods")])]
    parts += [] if published is None else [published.assign(panel="models, the paper")]
    with drawing():
        chart = new_chart(6.0 if methods is None else 11.0, 4.6, pd.concat(parts, ignore_index=True), notes)
        wide = [4, 5] if methods is not None else [1]
        axes = chart.subplots(1, len(wide), squeeze=False, width_ratios=wide)[0]
        _models(axes[0], points, published, reads(metric))
        if methods is not None:
            _methods(axes[1], methods, reads(metric))
    return chart


def _models(ax: Axes, points: pd.DataFrame, published: pd.DataFrame | None, label: str) -> None:
    sizes = list(dict.fromkeys(points["size"]))
    columns = {size: i for i, size in enumerate(sizes)}
    colours, largest = size_colours(sizes), points["gmacs"].max()
    area = np.maximum(LARGEST * points["gmacs"] / largest, 6)
    x = points["size"].map(columns)
    ax.scatter(x, points["value"], s=area, c=points["size"].map(colours), alpha=0.85, lw=0)
    if published is not None:
        rings = published[published["size"].isin(sizes)]
        look: Any = {"s": LARGEST * rings["gmacs"] / largest, "facecolors": "none", "edgecolors": INK, "lw": 1.0}
        ax.scatter(rings["size"].map(columns), rings["value"], **look)
    if points["value"].max() > WIDE * points["value"].min() > 0:
        ax.set_yscale("log")
        plain_ticks(ax, log_y=True)
    _columns(ax, sizes, label)
    if len(sizes) <= 12:  # beyond, labels would lie on one another
        for column in range(len(sizes)):
            _label(ax, points.assign(area=area)[x == column], column)
    rings_say = "; rings: the paper" if published is not None else ""
    headline(ax, "Larger models and smaller patches", f"area: GMACs of a forward pass; /8: patch size 8{rings_say}")


def _label(ax: Axes, points: pd.DataFrame, column: int) -> None:
    """Write the patch size beside each bubble of a column, clear of the other bubbles and of one another.

    Call it when the limits are set. Places are those before the layout, which moves them by a few points.
    """
    to_points = 72 / ax.get_figure(root=True).dpi  # type: ignore[union-attr]
    heights = ax.transData.transform([(column, value) for value in points["value"]])[:, 1] * to_points
    radii = np.sqrt(points["area"].to_numpy()) / 2
    free = -np.inf
    for k in np.argsort(heights):
        at = max(heights[k], free)
        free = at + LINE
        apart = np.maximum(np.abs(heights - at) - LINE / 2, 0)
        covered = np.sqrt(np.maximum(radii**2 - apart**2, 0)).max()
        row = points.iloc[k]
        beside = (covered + 4, at - heights[k])
        text, place = f"/{row['patch']}", (column, row["value"])
        ax.annotate(text, place, beside, textcoords="offset points", va="center", color=FAINT)


def _methods(ax: Axes, methods: pd.DataFrame, label: str) -> None:
    area = LARGEST * methods["gmacs"] / methods["gmacs"].max()
    x = np.arange(len(methods))
    colours = np.where(methods["own"], "#1b1f5e", "#b9b9b9")
    ax.scatter(x, methods["value"], s=area, c=colours, alpha=0.85, lw=0)
    for at, value, size in zip(x, methods["value"], area, strict=True):
        below = (0, -np.sqrt(size) / 2 - 12)
        ax.annotate(f"{value:.2f}", (at, value), below, textcoords="offset points", ha="center", color=INK)
    ax.set_yscale("log")
    plain_ticks(ax, log_y=True)
    _columns(ax, list(methods["name"]), label)
    ax.tick_params(axis="x", labelrotation=35)
    headline(ax, "Against other methods", "dark: DiT; -G: with guidance")


def _columns(ax: Axes, names: list[str], label: str) -> None:
    shown = few(range(len(names)), 14)
    ax.xaxis.set_major_locator(FixedLocator(shown))
    ax.set_xticklabels([names[i] for i in shown])
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.margins(y=0.16)
    ax.set_ylabel(label)
    if ax.get_yscale() == "linear":
        ax.set_ylim(bottom=-0.11 * ax.get_ylim()[1])  # a bubble of the largest area at 0 reaches so far down
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], prune="lower"))
        ax.yaxis.set_major_formatter(ScalarFormatter())
