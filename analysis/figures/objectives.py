"""Laws of several objectives in one picture: points of the same networks, a colour and a line an objective.

What is here draws `dit_grid.analysis.laws.objectives`; which laws differ, and where they cross, is said there.
"""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.lines import Line2D

from dit_grid.analysis.figures.axes import GMACS, log_x, plain_ticks
from dit_grid.analysis.figures.chart import Chart, drawing, headline, new_chart
from dit_grid.analysis.figures.curves import reads
from dit_grid.analysis.figures.style import legends, patch_handles, patch_marker, size_colours
from dit_grid.analysis.laws.objectives import Objectives
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.model.plurals import counted


def objectives_against_compute(found: Objectives) -> Chart:
    """The chart of every objective's final values over forward GMACs (log axis) with its law and 95 % band.

    A vertical line is where two laws cross, where that lies among the models.
    """
    metric, data = metric_named(found.metric), found.table()
    colours = size_colours(list(found.laws))
    with drawing():
        chart = new_chart(6.8, 4.4, data)
        ax = chart.add_subplot()
        ax.set_yscale("log" if metric.log else "linear")
        for name, one in found.laws.items():
            if one.fit is not None:
                at = np.geomspace(one.points["gmacs"].min() / 1.25, one.points["gmacs"].max() * 1.25, 80)
                line = one.fit.predict(at)
                ax.fill_between(at, line["low"], line["high"], color=colours[name], alpha=0.1, lw=0)
                ax.plot(at, line["mean"], color=colours[name], lw=1.4)
            for row in one.points.to_dict("records"):
                marker = patch_marker(row["patch"])
                ax.plot(row["gmacs"], row["value"], marker, ms=8, color=colours[name], mec="white", mew=0.7, zorder=3)
        for pair in found.contrasts:
            if pair.inside and pair.crossing is not None:
                ax.axvline(pair.crossing, color="#9a9a9a", lw=0.9, ls=(0, (3, 3)), zorder=1)
        ax.set_xlabel(GMACS)
        ax.set_ylabel(reads(found.metric))
        log_x(ax)
        plain_ticks(ax, metric.log)
        headline(ax, f"{metric.label.split(',')[0]} by objective", f"{counted(len(data), 'model')}; dashed: laws cross")
        lines: list[Artist] = [
            Line2D([], [], color=colours[name], lw=2, marker="o", ms=6, mec="white", label=name) for name in found.laws
        ]
        patches = sorted(set(data["patch"]), reverse=True)
        legends(chart, [("Objective", lines), ("Patch size", patch_handles(patches))])
    return chart
