"""Metric against sampling compute, a line a model over sampler steps: the paper's Figure 10.

What is here shows that steps at sampling do not make up for a small model; training compute is `training_compute`.
"""

import pandas as pd
from matplotlib.axes import Axes

from dit_grid.analysis.figures.axes import SAMPLE_GMACS, log_x, plain_ticks
from dit_grid.analysis.figures.chart import FAINT, Chart, drawing, headline, new_chart
from dit_grid.analysis.figures.style import (
    legends,
    patch_dashes,
    patch_handles,
    patch_marker,
    size_colours,
    size_handles,
)
from dit_grid.analysis.metrics import metric_named


def metric_against_sampling_compute(
    rows: pd.DataFrame, metric: str, subtitle: str = "", span: tuple[float, float] | None = None
) -> Chart:
    """The chart of a metric over the compute to sample one image (log axis), guidance not counted.

    `rows` has columns model, size, patch, gmacs, sampler_steps, value: evaluations of final checkpoints that differ in
    nothing but sampler steps. `span` is the range of the x axis, GMACs; by default that of the rows.
    """
    data = rows.assign(sample_gmacs=rows["gmacs"] * rows["sampler_steps"]).sort_values("sample_gmacs")
    sizes = sorted(set(data["size"]), key=["S", "B", "L", "XL", *data["size"]].index)
    patches = sorted(set(data["patch"]), reverse=True)
    known = metric_named(metric)
    with drawing():
        chart = new_chart(6.8, 4.2, data)
        ax = chart.add_subplot()
        for _, line in data.groupby("model", sort=False):
            _line(ax, line, size_colours(sizes))
        ax.set_yscale("log" if known.log else "linear")
        plain_ticks(ax, known.log)
        ax.margins(0.18)
        if span:
            ax.set_xlim(*span)
        log_x(ax)
        ax.set_xlabel(SAMPLE_GMACS)
        ax.set_ylabel(f"{known.label} (lower is better)")
        headline(ax, f"{known.label} against sampling compute", subtitle)
        legends(chart, [("Model size", size_handles(sizes)), ("Patch size", patch_handles(patches))])
    return chart


def _line(ax: Axes, line: pd.DataFrame, colours: dict[str, str]) -> None:
    size, patch = line["size"].iloc[0], line["patch"].iloc[0]
    look = {"color": colours[size], "ls": patch_dashes(patch), "marker": patch_marker(patch)}
    ax.plot(line["sample_gmacs"], line["value"], lw=1.4, ms=7, mec="white", mew=0.6, **look)
    for row in line.to_dict("records"):
        at = (row["sample_gmacs"], row["value"])
        ax.annotate(f"{row['sampler_steps']} steps", at, (0, 9), textcoords="offset points", ha="center", color=FAINT)
