"""Metric against forward compute, one point a model: the paper's Figure 8, with the fitted law and its band.

What is here draws a `ScalingLaw`; published points enter only where the metric is the paper's own.
"""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dit_grid.analysis.figures.axes import GMACS, log_x, plain_ticks
from dit_grid.analysis.figures.chart import FAINT, INK, Chart, drawing, headline, new_chart
from dit_grid.analysis.figures.curves import reads
from dit_grid.analysis.figures.style import legends, patch_handles, patch_marker, size_colours, size_handles
from dit_grid.analysis.laws.scaling import ScalingLaw
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.model.plurals import counted


def metric_against_compute(law: ScalingLaw, published: pd.DataFrame | None = None, log_y: bool | None = None) -> Chart:
    """The chart of a law's points over GMACs (log axis), the fit and its 95 % prediction band for a new model.

    `published` points (columns model, size, patch, gmacs, value) are drawn hollow. The y axis is logarithmic for
    distances and losses unless `log_y` says otherwise.
    """
    metric = metric_named(law.metric)
    log_y = metric.log if log_y is None else log_y
    data = pd.concat([law.points.assign(source=law.source), *_labelled(published)], ignore_index=True)
    with drawing():
        chart = new_chart(6.8, 4.4, data, law.missing)
        ax = chart.add_subplot()
        ax.set_yscale("log" if log_y else "linear")
        _law_line(ax, law)
        for source, points in data.groupby("source", sort=False):
            _points(ax, points, hollow=source != law.source)
        ax.set_xlabel(GMACS)
        ax.set_ylabel(reads(law.metric))
        log_x(ax)
        plain_ticks(ax, log_y)
        headline(ax, f"{metric.label} against compute", _summary(law))
        legends(chart, _legend_groups(data, law))
    return chart


def _labelled(published: pd.DataFrame | None) -> list[pd.DataFrame]:
    return [] if published is None else [published.assign(source="the paper")]


def _points(ax: Axes, points: pd.DataFrame, hollow: bool) -> None:
    colours = size_colours(list(dict.fromkeys(points["size"])))
    for row in points.to_dict("records"):
        colour = colours[row["size"]]
        face, edge = ("white", colour) if hollow else (colour, "white")
        ax.plot(
            *(row["gmacs"], row["value"]),
            *(patch_marker(row["patch"]),),
            ms=8.5,
            mfc=face,
            mec=edge,
            mew=1.4 if hollow else 0.7,
            zorder=3,
        )


def _law_line(ax: Axes, law: ScalingLaw) -> None:
    if law.fit is None:
        return
    low, high = law.points["gmacs"].min(), law.points["gmacs"].max()
    at = np.geomspace(low / 1.25, high * 1.25, 80)
    line = law.fit.predict(at)
    ax.fill_between(at, line["low"], line["high"], color="#5b7fa6", alpha=0.13, lw=0)
    ax.plot(at, line["mean"], color=INK, lw=1.3, zorder=2)


def _summary(law: ScalingLaw) -> str:
    if law.fit is None or law.correlation is None:
        return f"{counted(len(law.points), 'model')} so far: too few for a law"
    name = "exponent" if "exponent" in law.fit.params else "slope"
    r = law.correlation
    return f"{name} {law.fit.params[name]}, r = {r.r:.2f} [{r.low:.2f}, {r.high:.2f}], n = {r.n}".replace("-", "−")


def _legend_groups(data: pd.DataFrame, law: ScalingLaw) -> list[tuple[str, list[Artist]]]:
    sizes, patches = list(dict.fromkeys(data["size"])), sorted(set(data["patch"]), reverse=True)
    groups = [("Model size", size_handles(sizes)), ("Patch size", patch_handles(patches))]
    extra: list[Artist] = []
    if law.fit is not None:
        extra += [
            Line2D([], [], color=INK, lw=1.3, label="fit"),
            Patch(color="#5b7fa6", alpha=0.2, lw=0, label="95 %, new model"),
        ]
    if law.tuning is not None:  # a line of words, for which the title has no room
        words = law.tuning.sweep.over.replace(" over ", " over\n").replace(" × ", "\n× ")
        extra += [Line2D([], [], ls="none", label=words)]
    if (data["source"] == "the paper").any():
        extra += [Line2D([], [], ls="none", marker="o", mfc="white", mec=FAINT, label="the paper")]
    return [*groups, ("Law", extra)] if extra else groups
