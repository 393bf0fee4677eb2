"""How far the first updates move activations, over width: flat where a learning rate transfers, a panel a rule.

What is measured, and the exponents, are `dit_grid.experiments.training.coordinates`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

from dit_grid.analysis.figures.chart import Chart, drawing, new_chart
from dit_grid.analysis.figures.style import few

TITLES = {"standard": "Standard parametrization", "mup": "Maximal update parametrization"}


def coordinate_figure(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """The change of every layer after the last update over width, log axes, a line a layer.

    `rows` have parametrization, width, layer, step and change, as `experiments.training.coordinates.Coordinate`.
    """
    frame = pd.DataFrame(list(rows))
    last = frame[(frame["step"] == frame["step"].max()) & (frame["change"] > 0)]
    panels, layers = list(last["parametrization"].unique()), few(list(last["layer"].unique()))
    with drawing():
        chart = new_chart(0.4 + 3.4 * len(panels), 3.2, last)
        axes = chart.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, name in zip(axes, panels, strict=True):
            for number, layer in enumerate(layers):
                line = last[(last["parametrization"] == name) & (last["layer"] == layer)].sort_values("width")
                colour = colormaps["viridis_r"](0.1 + 0.85 * number / max(len(layers) - 1, 1))
                ax.plot(line["width"], line["change"], marker="o", ms=4, lw=1.5, color=colour, label=layer)
            ax.set(xscale="log", yscale="log", title=TITLES.get(name, name), xlabel="width")
            ax.set_xticks(sorted(last["width"].unique()))
            ax.xaxis.set_major_formatter(ScalarFormatter())
            ax.xaxis.set_minor_locator(NullLocator())
            ax.xaxis.set_minor_formatter(NullFormatter())
        axes[0].set_ylabel(f"change after {int(last['step'].max())} updates (RMS)")
        axes[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return chart
