"""Several metrics at the end of training against forward compute, a panel each: the paper's Figure 12, right.

What is here draws laws made by `laws.scaling`, one a metric, with the correlation that the paper prints.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from dit_grid.analysis.figures.axes import GMACS, log_x, plain_ticks
from dit_grid.analysis.figures.chart import INK, Chart, drawing, headline, new_chart, x_title
from dit_grid.analysis.figures.style import legends, patch_handles, patch_marker, size_colours, size_handles
from dit_grid.analysis.fits import CannotFitError, LogLinear, correlate
from dit_grid.analysis.laws.scaling import ScalingLaw
from dit_grid.analysis.results.metric_names import metric_named


def panel_grid(chart: Chart, count: int, columns: int = 2) -> Iterator[Axes]:
    """Yield so many axes, in rows of `columns`; what is left over of the last row stays empty."""
    columns = min(count, columns)
    axes = chart.subplots(-(-count // columns), columns, squeeze=False).ravel()
    for ax in axes[count:]:
        ax.remove()
    yield from axes[:count]


def metrics_against_compute(laws: Sequence[ScalingLaw], not_measured: tuple[str, ...] = ()) -> Chart:
    """The chart with one panel a law: final values over forward GMACs (log axis), and r with its 95 % interval.

    r is Pearson's between the metric and log GMACs, as the paper computes it, whatever the axis of the panel.
    """
    parts = [law.points.assign(metric=law.metric, source=law.source) for law in laws]
    data = pd.concat(parts, ignore_index=True)
    sizes, patches = list(dict.fromkeys(data["size"])), sorted(set(data["patch"]), reverse=True)
    with drawing():
        height = 1.2 + 2.7 * -(-len(laws) // 3)
        chart = new_chart(9.8 if len(laws) > 1 else 6.8, height, data, not_measured, "Not measured")
        for ax, law in zip(panel_grid(chart, len(laws), columns=3), laws, strict=True):
            _panel(ax, law, size_colours(sizes))
        x_title(chart, GMACS)
        legends(chart, [("Model size", size_handles(sizes)), ("Patch size", patch_handles(patches))])
    return chart


def _panel(ax: Axes, law: ScalingLaw, colours: dict[str, str]) -> None:
    metric = metric_named(law.metric)
    for (size, patch), points in law.points.groupby(["size", "patch"], sort=False):
        look: Any = {"color": colours[str(size)], "marker": patch_marker(int(str(patch))), "mec": "white", "mew": 0.6}
        ax.plot(points["gmacs"], points["value"], ls="none", ms=7, **look)
    _line(ax, law)
    ax.set_yscale("log" if metric.log else "linear")
    plain_ticks(ax, metric.log)
    log_x(ax)
    headline(ax, metric.label.split(",")[0], _r(law))


def _line(ax: Axes, law: ScalingLaw) -> None:
    """The law's fit over the range of its points; straight in these axes."""
    if law.fit is None:
        return
    ends = law.points["gmacs"].agg(["min", "max"]).to_numpy(dtype=float)
    ax.plot(ends, law.fit.predict(ends)["mean"], color=INK, lw=1.0, zorder=1)


def _r(law: ScalingLaw) -> str:
    try:
        found = correlate(law.points, LogLinear().x, LogLinear().y)
    except CannotFitError:
        return ""
    return f"r = {found.r:.2f} [{found.low:.2f}, {found.high:.2f}]".replace("-", "−")
