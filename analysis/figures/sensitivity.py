"""How much a hyperparameter matters: the metric over its values, a line a model, with the best marked and edges told.

Which value is best, and whether it lies at an edge, is `dit_grid.analysis.laws.tuning`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from dit_grid.analysis.figures.axes import plain_ticks
from dit_grid.analysis.figures.chart import FAINT, INK, Chart, drawing, new_chart
from dit_grid.analysis.figures.curves import draw_curve, reads
from dit_grid.analysis.figures.style import few, legends, patch_handles, size_colours, size_handles
from dit_grid.analysis.laws.optima import is_geometric
from dit_grid.analysis.laws.tuning import Tuning
from dit_grid.analysis.laws.tuning_words import capital
from dit_grid.analysis.results.frames import in_grid_order
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.analysis.results.sweeps import Sweep, shown

PANELS = 4
"""Of more keys and rules the first so many are drawn; the data hold all."""

EDGE = "#c0392b"


def metric_against_settings(tunings: Mapping[str, Tuning]) -> Chart:
    """The chart of a metric over the values of each key that was swept, a panel a key and rule, a line a model.

    `tunings` are sweeps by the words of their rules (empty for a sole one). The axis is logarithmic where the values
    are a geometric range. Of several keys a line is the best over the others (its lower envelope, for distances). Stars
    mark the best of each model, open red ones a best at the edge of its sweep; a cross at the top is a value that
    diverged. The data hold every cell.
    """
    first = next(iter(tunings.values())).sweep
    metric = metric_named(first.metric)
    panels = [(rule, tuning, key) for rule, tuning in tunings.items() for key in tuning.sweep.keys][:PANELS]
    data = pd.concat([one.sweep.cells.assign(rule_words=rule) for rule, one in tunings.items()], ignore_index=True)
    sizes = list(dict.fromkeys(in_grid_order(data)["size"]))
    with drawing():
        chart = new_chart(2.2 + 3.7 * len(panels), 4.0, data, tuple(_without_values(tunings)))
        axes = chart.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, (rule, tuning, key) in zip(axes, panels, strict=True):
            ax.set_yscale("log" if metric.log else "linear")
            _panel(ax, tuning, key, size_colours(sizes))
            ax.set_title(rule or capital(tuning.sweep.over), loc="left", fontweight="bold")
            plain_ticks(ax, metric.log)
        axes[0].set_ylabel(reads(first.metric))
        patches = sorted(set(data["patch"]), reverse=True)
        groups = [("Model size", size_handles(sizes, lines=True)), ("Patch size", patch_handles(patches, lines=True))]
        legends(chart, [*groups, ("Sweep", _marks(tunings))])
    return chart


def profile(sweep: Sweep, key: str) -> pd.DataFrame:
    """A row a model and value of `key`, the best over the other keys, with `best` and `diverged`, in order of `key`.

    A value all of whose cells diverged, or that none has yet, has none.
    """
    sign = 1 if metric_named(sweep.metric).lower_is_better else -1
    order = sweep.cells.assign(_value=sign * sweep.cells["value"], _worse=~sweep.cells["best"])
    ranked = order.sort_values(["_worse", "_value"], kind="stable", na_position="last")
    rows = ranked.drop_duplicates(["model", "rule", key]).drop(columns=["_value", "_worse"])
    return in_grid_order(rows).sort_values(key, kind="stable")


def _panel(ax: Axes, tuning: Tuning, key: str, colours: dict[str, str]) -> None:
    sweep, rows = tuning.sweep, profile(tuning.sweep, key)
    places = list(dict.fromkeys(rows[key]))
    if is_geometric(rows[key]):
        ax.set_xscale("log")
        rows = rows.assign(_x=rows[key])
    elif pd.api.types.is_numeric_dtype(rows[key]):
        rows = rows.assign(_x=rows[key])
    else:
        rows = rows.assign(_x=[places.index(value) for value in rows[key]])
    at_edge = {edge.model for edge in tuning.edges if edge.key == key}
    for model, line in rows.groupby("model", sort=False):
        draw_curve(ax, line[line["value"].notna()], "_x", colours)
        _star(ax, line[line["best"]], colours, model in at_edge)
        _crosses(ax, line[(line["diverged"] > 0) & line["value"].isna()], colours)
    _ticks(ax, dict(zip(rows["_x"], rows[key], strict=True)))
    rest = [sweep.short(other) for other in sweep.keys if other != key]
    ax.set_xlabel(sweep.short(key).replace("_", " ") + (f" (best over {', '.join(rest)})" if rest else ""))


def _star(ax: Axes, best: pd.DataFrame, colours: dict[str, str], at_edge: bool) -> None:
    for row in best.to_dict("records"):
        face, edge, width = ("white", EDGE, 1.4) if at_edge else (colours[row["size"]], "white", 0.8)
        ax.plot(row["_x"], row["value"], ls="none", marker="*", ms=14, mfc=face, mec=edge, mew=width, zorder=5)


def _crosses(ax: Axes, broken: pd.DataFrame, colours: dict[str, str]) -> None:
    """A mark at the top of the axes for each value that diverged."""
    look: Any = {"ls": "none", "marker": "x", "ms": 6, "mew": 1.5, "transform": ax.get_xaxis_transform()}
    for row in broken.to_dict("records"):
        ax.plot(row["_x"], 0.985, color=colours[row["size"]], **look)


def _ticks(ax: Axes, labels: Mapping[float, object]) -> None:
    """A tick at a few of the values, which say more than round numbers between them."""
    values = few(sorted(labels), 9)
    ax.xaxis.set_major_locator(FixedLocator(values))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: shown(labels[min(labels, key=lambda v: abs(v - x))])))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="x", rotation=30 if len(values) > 5 else 0)


def _without_values(tunings: Mapping[str, Tuning]) -> Iterator[str]:
    for tuning in tunings.values():
        waiting = tuning.sweep.cells[tuning.sweep.cells["lacking"] > 0]
        yield from (f"{cell['model']} {tuning.sweep.named(cell)}" for cell in waiting.to_dict("records"))


def _marks(tunings: Mapping[str, Tuning]) -> list[Artist]:
    star: Any = {"ls": "none", "marker": "*", "ms": 12}
    found: list[Artist] = [Line2D([], [], mfc=INK, mec="white", label="best", **star)]
    if any(tuning.edges for tuning in tunings.values()):
        found.append(Line2D([], [], mfc="white", mec=EDGE, mew=1.4, label="best, at the edge", **star))
    if any((tuning.sweep.cells["diverged"] > 0).any() for tuning in tunings.values()):
        found.append(Line2D([], [], ls="none", marker="x", ms=6, mew=1.5, color=FAINT, label="diverged"))
    return found
