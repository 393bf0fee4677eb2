"""Block designs compared along training: the paper's Figure 5.

What is here compares runs that differ only in their block; sizes and patches are `steps`.
"""

import pandas as pd
from matplotlib.ticker import ScalarFormatter

from dit_grid.analysis.figures.axes import step_ticks
from dit_grid.analysis.figures.chart import Chart, drawing, headline, new_chart
from dit_grid.analysis.figures.curves import reads
from dit_grid.analysis.results.frames import NotMeasuredError, Results, in_grid_order, metric_rows

BLOCKS = {
    "in-context": ("#e8a33d", "D"),
    "cross-attention": ("#e0573f", "s"),
    "adaln": ("#7a3b8f", "^"),
    "adaln-zero": ("#1b1f5e", "o"),
}
"""Colour and marker of each design, light to dark in the order of the paper's legend."""


def blocks_against_steps(
    results: Results,
    metric: str = "fid",
    model: str | None = None,
    steps: int | None = None,
    published: pd.DataFrame | None = None,
) -> Chart:
    """The chart of a metric over training steps, a line a block design of one model; seeds are averaged.

    `model` and `steps` (what the runs were asked for) are by default those under which most designs were measured.
    `published` end points (columns block, step, value) are drawn hollow.

    Raises:
        NotMeasuredError: the metric was not measured, or fewer than two designs of one model were.
    """
    data = _designs(metric_rows(results, metric), model, steps)
    if data["block"].nunique() < 2:
        raise NotMeasuredError(
            "needs two block designs of one model with the same steps; the spec's model.block names them"
        )
    missing = tuple(block for block in BLOCKS if block not in set(data["block"]))
    with drawing():
        chart = new_chart(6.4, 3.9, data, missing, "Designs not there")
        ax = chart.add_subplot()
        for block, (colour, marker) in BLOCKS.items():
            line = data[data["block"] == block]
            if len(line):
                label = f"{block}, {line['value'].iloc[-1]:.4g}"
                ax.plot(line["step"], line["value"], color=colour, marker=marker, ms=8, mec="white", label=label)
            if published is not None:
                ends = published[published["block"] == block]
                ax.plot(ends["step"], ends["value"], ls="none", marker=marker, ms=10, mfc="none", mec=colour)
        step_ticks(ax)
        ax.set_xlim(0, float(data["steps"].iloc[0]) * 1.05)
        ax.yaxis.set_major_formatter(ScalarFormatter())
        ax.set_xlabel("training step")
        ax.set_ylabel(reads(metric))
        note = "" if published is None else "hollow: the paper, 400K steps"
        headline(ax, f"How the condition enters: {data['model'].iloc[0]}", note)
        chart.legend(loc="outside right upper", title="Block, last value")
    return chart


def _designs(rows: pd.DataFrame, model: str | None, steps: int | None) -> pd.DataFrame:
    rows = rows[rows["block"].isin(BLOCKS)]
    rows = rows if model is None else rows[rows["model"] == model]
    rows = rows if steps is None else rows[rows["steps"] == steps]
    groups = rows.groupby(["model", "image_size", "steps"]).agg(designs=("block", "nunique"), params=("params", "max"))
    if len(groups):
        best = groups.sort_values(["designs", "params"], kind="stable").index[-1]
        rows = rows[(rows["model"] == best[0]) & (rows["image_size"] == best[1]) & (rows["steps"] == best[2])]
    rules = in_grid_order(rows).groupby("rule", sort=False)["block"].nunique()
    rows = rows[rows["rule"] == rules.idxmax()] if len(rules) > 1 else rows  # seeds only are averaged
    lines = rows.groupby(["model", "block", "steps", "step"])["value"].agg(value="mean", seeds="size")
    return lines.reset_index()
