"""Bubbles whose area is compute: the paper's Figure 2, its own models at the left, other methods at the right.

What is here compares values at the end of training; nothing is fitted.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, ScalarFormatter

from dit_grid.analysis.figures.axes import plain_ticks
from dit_grid.analysis.figures.chart import FAINT, INK, Chart, drawing, headline, new_chart
from dit_grid.analysis.figures.style import size_colours

LARGEST = 2600.0
"""Area of the largest bubble, square points."""


def compute_bubbles(points: pd.DataFrame, methods: pd.DataFrame | None = None, label: str = "FID-50K") -> Chart:
    """The chart of Figure 2: left a column a model size, right a column a method; area is forward GMACs.

    `points` has columns size, patch, gmacs, value; `methods` name, gmacs, value, own (True for this architecture).
    """
    parts = [points.assign(panel="models"), *([] if methods is None else [methods.assign(panel="methods")])]
    with drawing():
        chart = new_chart(6.0 if methods is None else 11.0, 4.6, pd.concat(parts, ignore_index=True))
        axes = chart.subplots(1, len(parts), squeeze=False, width_ratios=[4, 5][: len(parts)])[0]
        _models(axes[0], points, label)
        if methods is not None:
            _methods(axes[1], methods, label)
    return chart


def _models(ax: Axes, points: pd.DataFrame, label: str) -> None:
    sizes = list(dict.fromkeys(points["size"]))
    x = points["size"].map({size: i for i, size in enumerate(sizes)})
    area = LARGEST * points["gmacs"] / points["gmacs"].max()
    colours = points["size"].map(size_colours(sizes))
    ax.scatter(x, points["value"], s=np.maximum(area, 6), c=colours, alpha=0.85, lw=0)
    for at, value, patch, size in zip(x, points["value"], points["patch"], area, strict=True):
        beside = (np.sqrt(size) / 2 + 4, 0)
        ax.annotate(f"/{patch}", (at, value), beside, textcoords="offset points", va="center", color=FAINT)
    _columns(ax, sizes, label)
    headline(ax, "Larger models and smaller patches", "area: GMACs of a forward pass; /8, /4, /2: patch size")


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
    _columns(ax, list(methods["name"]), f"{label}, logarithmic")
    ax.tick_params(axis="x", labelrotation=35)
    headline(ax, "Against other methods", "dark: DiT; -G: with guidance")


def _columns(ax: Axes, names: list[str], label: str) -> None:
    ax.xaxis.set_major_locator(FixedLocator(list(range(len(names)))))
    ax.set_xticklabels(names)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.margins(y=0.16)
    ax.set_ylabel(f"{label} (lower is better)")
    if ax.get_yscale() == "linear":
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter(ScalarFormatter())
