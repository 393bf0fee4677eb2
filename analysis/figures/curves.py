"""Lines of a metric along training, one a model: means over seeds, and how one line looks in every figure.

What is here is shared by the figures over steps and over training compute.
"""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from dit_grid.analysis.figures.style import patch_dashes, patch_marker
from dit_grid.analysis.results.frames import in_grid_order
from dit_grid.analysis.results.metric_names import metric_named

LINE = ("model", "size", "patch", "params", "step")


def curves(rows: pd.DataFrame, also: tuple[str, ...] = ()) -> pd.DataFrame:
    """One row a model and step: `value` is the mean over seeds, `seeds` their number; `also` names columns to keep.

    Models that share a name and differ in their parameters are lines of their own.
    """
    grouped = rows.groupby([*LINE, *also], dropna=False)["value"].agg(value="mean", seeds="size").reset_index()
    return in_grid_order(grouped.sort_values("step", kind="stable"))


def without_a_line(runs: pd.DataFrame, drawn: pd.DataFrame) -> tuple[str, ...]:
    """The models of `runs` of which `drawn` has no row, each once, in the order of the runs."""
    there = set(drawn["model"].unique())
    return tuple(model for model in runs["model"].unique() if model not in there)


def draw_curve(ax: Axes, line: pd.DataFrame, x: str, colours: dict[str, str], **look: Any) -> None:
    """Draw the rows of one model over column `x`; a single point keeps its marker."""
    size, patch = line["size"].iloc[0], line["patch"].iloc[0]
    style: dict[str, Any] = {"color": colours[size], "ls": patch_dashes(patch), "marker": patch_marker(patch)}
    ax.plot(line[x], line["value"], **(style | {"lw": 1.5, "ms": 4.5, "mec": "white", "mew": 0.5} | look))


def draw_published(ax: Axes, rows: pd.DataFrame | None, x: str, colours: dict[str, str]) -> None:
    """Draw the paper's points hollow; sizes that own results do not have are left out."""
    if rows is None:
        return
    for row in rows[rows["size"].isin(list(colours))].to_dict("records"):
        look: Any = {
            "marker": patch_marker(row["patch"]),
            "mfc": "none",
            "mec": colours[row["size"]],
            "ms": 8,
            "mew": 1.3,
        }
        ax.plot(row[x], row["value"], ls="none", **look, zorder=4)


def reads(metric: str) -> str:
    """The label of a metric with the direction that is better."""
    known = metric_named(metric)
    return f"{known.label} ({'lower' if known.lower_is_better else 'higher'} is better)"
