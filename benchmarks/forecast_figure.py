"""The figure of docs/forecast.md: predicted over observed with 95 % intervals, a line of the page a table.

`forecast_suite.py --figure FILE` draws it from what it scored; the frame, fonts and colours are those of every figure.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from dit_grid.analysis.figures.chart import FAINT, INK, drawing, headline, new_chart

SHOWN = 12
"""Rows of a table that are drawn at most, evenly chosen: more are a blot."""

ROUNDS = {
    0: ("shaped the method", "#932b80"),
    1: ("scored once, then looked at", "#e0573f"),
    2: ("scored once", "#1b1f5e"),
}
MISSED = "#c0392b"
TICKS = (0.5, 0.7, 0.85, 1, 1.2, 1.5, 2)
INCH_A_TABLE, SPREAD = 0.17, 0.62
"""Height of a table's line, and the part of it over which its rows are spread."""


def rows_of(name: str, task: dict, test: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Rows of one table as they are drawn: ratios to the truth, and whether the interval held."""
    shown = np.unique(np.linspace(0, len(test) - 1, min(len(test), SHOWN)).round().astype(int))
    truth = test[task["y"]].to_numpy(float)[shown]
    ratios = predictions.iloc[shown][["predicted", "low", "high"]].div(truth, axis=0).reset_index(drop=True)
    held = (ratios["low"] <= 1) & (ratios["high"] >= 1)
    return ratios.assign(
        task=name, round=task.get("round", 0), held=held, place=np.linspace(0, 1, len(shown) + 2)[1:-1]
    )


def draw(parts: Sequence[pd.DataFrame], file: Path) -> None:
    """Write the figure to `file`, tables of one round together, in the order given."""
    data = pd.concat(parts, ignore_index=True)
    data = data.sort_values("round", kind="stable", ignore_index=True)
    tables = data.drop_duplicates("task").reset_index(drop=True)
    gaps = tables["round"].rank(method="dense").astype(int) - 1
    at = dict(zip(tables["task"], -(tables.index + gaps).to_numpy(float), strict=True))
    with drawing():
        chart = new_chart(7.0, 1.1 + INCH_A_TABLE * (len(tables) + gaps.max()), data)
        ax = chart.subplots()
        y = data["task"].map(at) + SPREAD * (0.5 - data["place"])
        for (number, held), part in data.groupby(["round", "held"]):
            colour = ROUNDS[number][1] if held else MISSED
            ax.hlines(y[part.index], part["low"], part["high"], color=colour, lw=1.1, alpha=0.55)
            face = colour if held else "white"
            ax.plot(part["predicted"], y[part.index], "o", ms=3.4, mfc=face, mec=colour, mew=1.0)
        ax.axvline(1, color=INK, lw=0.9)
        ax.set_xscale("log")
        ax.set_xlim(0.44, 2.3)
        ax.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        ax.minorticks_off()
        ax.set_ylim(min(at.values()) - 0.8, 0.8)
        ax.set_yticks(list(at.values()), list(at), color=INK)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel("predicted / observed, with 95 % intervals")
        headline(ax, f"{len(tables)} public tables, each predicted from its cheap rows")
        _label_rounds(ax, tables, at)
        chart.savefig(file, dpi=160, facecolor="white", metadata={"Software": None})


def _label_rounds(ax, tables: pd.DataFrame, at: dict[str, float]) -> None:
    """Write at the first table of each round what it is, and below all what an open red mark is."""
    for number, first in tables.groupby("round")["task"].first().items():
        words, colour = ROUNDS[int(str(number))]
        ax.text(2.25, at[first] + 0.55, words, color=colour, ha="right", va="bottom", fontsize=8.5, fontweight="bold")
    mark = Line2D([], [], color=MISSED, marker="o", ms=3.4, mfc="white", lw=1.1, label="interval missed")
    ax.legend(handles=[mark], loc="lower right", labelcolor=FAINT)
