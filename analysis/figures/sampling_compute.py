"""Metric against sampling compute, a line a model over sampler steps: the paper's Figure 10.

What is here shows that steps at sampling do not make up for a small model; training compute is `training_compute`.
"""

import pandas as pd
from matplotlib.axes import Axes

from dit_grid.analysis.figures.axes import SAMPLE_GMACS, log_x, plain_ticks
from dit_grid.analysis.figures.chart import FAINT, Chart, drawing, headline, new_chart
from dit_grid.analysis.figures.curves import draw_curve, reads
from dit_grid.analysis.figures.style import legends, patch_handles, size_colours, size_handles
from dit_grid.analysis.fits.usable import is_usable
from dit_grid.analysis.results.frames import NotMeasuredError, Results, in_grid_order
from dit_grid.analysis.results.metric_names import metric_named

SAME = ("samples", "sampler", "guidance", "guidance_channels", "weights", "decoder", "seed", "reference", "features")
"""Settings of an evaluation that must be equal for its values to be compared over sampler steps."""

LABELLED = 12
"""Up to so many points carry their number of sampler steps."""


def sampling_rows(results: Results, metric: str) -> pd.DataFrame:
    """The final values of a metric under settings that differ only in sampler steps, mean over seeds; Figure 10's rows.

    Of several such families the one with the most numbers of steps is taken, then the one with the most runs.

    Raises:
        NotMeasuredError: no family has two numbers of sampler steps; the message says how to get them.
    """
    evals = results.evals
    rows = evals[(evals["metric"] == metric) & (evals["step"] == evals["steps"]) & evals["sampler_steps"].notna()]
    rows = rows[is_usable(rows["value"], metric_named(metric).log)]
    families = rows.groupby(list(SAME), dropna=False)
    counts = families.agg(numbers=("sampler_steps", "nunique"), runs=("run_id", "nunique"))
    if counts.empty or counts["numbers"].max() < 2:
        raise NotMeasuredError(
            f"needs final {metric} values with two or more numbers of sampler steps; "
            "add settings with other `steps` under the spec's `evaluate`"
        )
    best = counts.reset_index(drop=True).sort_values(["numbers", "runs"], kind="stable").index[-1]
    chosen = rows[families.ngroup() == best]
    once = chosen.drop_duplicates(["run_id", "sampler_steps"])
    columns = ["model", "size", "patch", "params", "gmacs", "sampler_steps"]
    lines = once.groupby(columns)["value"].agg(value="mean", seeds="size").reset_index()
    return in_grid_order(lines)


def metric_against_sampling_compute(
    rows: pd.DataFrame,
    metric: str,
    subtitle: str = "",
    span: tuple[float, float] | None = None,
    missing: tuple[str, ...] = (),
) -> Chart:
    """The chart of a metric over the compute to sample one image (log axis), guidance not counted.

    `rows` has columns model, size, patch, gmacs, sampler_steps, value: evaluations of final checkpoints that differ in
    nothing but sampler steps. `span` is the range of the x axis, GMACs; by default that of the rows.
    """
    data = rows.assign(sample_gmacs=rows["gmacs"] * rows["sampler_steps"]).sort_values("sample_gmacs")
    sizes = [size for size in dict.fromkeys(rows["size"]) if size in set(data["size"])]
    patches = sorted(set(data["patch"]), reverse=True)
    known = metric_named(metric)
    with drawing():
        chart = new_chart(6.8, 4.2, data, missing)
        ax = chart.add_subplot()
        for _, line in data.groupby("model", sort=False):
            draw_curve(ax, line, "sample_gmacs", size_colours(sizes), ms=7)
        _label_steps(ax, data)
        ax.set_yscale("log" if known.log else "linear")
        plain_ticks(ax, known.log)
        ax.margins(0.18 if len(data) <= LABELLED else 0.05)
        if span:
            ax.set_xlim(*span)
        log_x(ax)
        ax.set_xlabel(SAMPLE_GMACS)
        ax.set_ylabel(reads(metric))
        steps = ", ".join(f"{int(n)}" for n in sorted(set(data["sampler_steps"])))
        headline(ax, f"{known.label} against sampling compute", subtitle or f"points from left to right: {steps} steps")
        legends(chart, [("Model size", size_handles(sizes)), ("Patch size", patch_handles(patches))])
    return chart


def _label_steps(ax: Axes, data: pd.DataFrame) -> None:
    if len(data) > LABELLED:
        return
    for row in data.to_dict("records"):
        at = (row["sample_gmacs"], row["value"])
        text = f"{row['sampler_steps']:.0f} steps"
        ax.annotate(text, at, (0, 9), textcoords="offset points", ha="center", color=FAINT)
