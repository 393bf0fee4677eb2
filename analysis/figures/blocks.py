"""Block designs compared along training: the paper's Figure 5.

What is here compares runs that differ only in their block; sizes and patches are `steps`.
"""

from matplotlib.ticker import ScalarFormatter

from dit_grid.analysis.figures.axes import step_ticks
from dit_grid.analysis.figures.chart import Chart, drawing, headline, new_chart
from dit_grid.analysis.metrics import metric_named
from dit_grid.analysis.results import Results, metric_rows

BLOCKS = {
    "in-context": ("#e8a33d", "D"),
    "cross-attention": ("#e0573f", "s"),
    "adaln": ("#7a3b8f", "^"),
    "adaln-zero": ("#1b1f5e", "o"),
}
"""Colour and marker of each design, light to dark in the order of the paper's legend."""


def blocks_against_steps(results: Results, metric: str = "fid", model: str = "XL/2", steps: int = 400_000) -> Chart:
    """The chart of a metric over training steps for each block design of one model, up to `steps`.

    Raises:
        ValueError: the metric was not measured for the model.
    """
    rows = metric_rows(results, metric)
    rows = rows[(rows["model"] == model) & (rows["steps"] == steps) & rows["block"].isin(BLOCKS)]
    if rows.empty:
        raise ValueError(f"no {metric!r} of {model} up to step {steps:,} in {results.where or 'these results'}")
    data = rows[["run_id", "model", "block", "step", "value"]]
    missing = tuple(block for block in BLOCKS if block not in set(data["block"]))
    with drawing():
        chart = new_chart(6.4, 3.9, data, missing)
        ax = chart.add_subplot()
        for block, (colour, marker) in BLOCKS.items():
            for _, run in data[data["block"] == block].groupby("run_id"):
                last = run.iloc[-1]
                label = f"{block}, {last['value']:.4g}"
                ax.plot(run["step"], run["value"], color=colour, marker=marker, ms=8, mec="white", label=label)
        step_ticks(ax)
        ax.set_xlim(0, steps * 1.05)
        ax.yaxis.set_major_formatter(ScalarFormatter())
        ax.set_xlabel("training step")
        ax.set_ylabel(f"{metric_named(metric).label} (lower is better)")
        headline(ax, f"How the condition enters: {model}")
        chart.legend(loc="outside right upper", title="Block, last value")
    return chart
