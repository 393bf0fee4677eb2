"""Training loss against step for every model, and its early part enlarged: the paper's Figure 13.

What is here smooths for the eye only; the data saved with the chart hold both the raw and the smoothed loss.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dit_grid.analysis.figures.axes import step_ticks
from dit_grid.analysis.figures.chart import Chart, drawing, new_chart
from dit_grid.analysis.figures.curves import without_a_line
from dit_grid.analysis.figures.style import legends, patch_dashes, patch_handles, size_colours, size_handles
from dit_grid.analysis.results.frames import NotMeasuredError, Results, in_grid_order

EARLY = 0.15
"""Share of the longest run that the second panel enlarges, but three points at least."""

APART = 60
"""Runs that are drawn as lines of their own."""

POINTS = 400
"""Points drawn of one curve; more than the pixels of a panel show nothing."""


def training_loss(results: Results, smooth: float = 0.02) -> Chart:
    """The chart of training loss (MSE + variational bound term) over steps, whole and enlarged.

    `smooth` is the time constant of an exponential average, as a share of the longest run. Up to APART runs are lines
    of their own; of more, seeds of a model are averaged at the steps that they share.

    Raises:
        NotMeasuredError: no training rows.
    """
    if results.train.empty:
        raise NotMeasuredError(
            f"no training rows in {results.where or 'these results'}; the first are written within a minute"
        )
    data = loss_lines(results.train, smooth)
    sizes, patches = list(data["size"].unique()), sorted(data["patch"].unique(), reverse=True)
    missing = without_a_line(results.runs, data)
    last = data["step"].max()
    start = max(EARLY * last, sorted(data["step"].unique())[:3][-1])
    with drawing():
        chart = new_chart(9.4, 4.0, data, missing)
        whole, early = chart.subplots(1, 2)
        _lines(whole, data, sizes)
        _lines(early, data[data["step"] <= start], sizes)
        whole.set_title("Training loss", loc="left", fontweight="bold")
        early.set_title(f"The first {100 * start / last:.0f} %", loc="left", fontweight="bold")
        whole.set_ylabel("training loss, MSE + bound term (smoothed)")
        _focus(whole, data[data["step"] > 2 * EARLY * last])
        legends(
            chart, [("Model size", size_handles(sizes, lines=True)), ("Patch size", patch_handles(patches, lines=True))]
        )
    return chart


def loss_lines(train: pd.DataFrame, smooth: float = 0.02) -> pd.DataFrame:
    """The curves drawn, in grid order: `loss`, `smoothed`, and as `run_id` the run (of many: the model)."""
    return _smoothed(_models_of(train), smooth)


def _models_of(train: pd.DataFrame) -> pd.DataFrame:
    """The loss curves to draw: of each run, or where those are many of each model, under its name as `run_id`."""
    keep = ["run_id", "model", "size", "patch", "params", "run_seed", "step", "loss"]
    data = train.loc[np.isfinite(train["loss"]), keep]
    if data["run_id"].nunique() <= APART:
        return data
    mean = data.groupby(["model", "size", "patch", "params", "step"], sort=False, dropna=False)["loss"]
    mean = mean.agg(loss="mean", runs="size").reset_index()
    whole = mean["runs"] == mean.groupby(["model", "params"])["runs"].transform("max")  # else a mean jumps as runs end
    return mean[whole].assign(run_id=mean["model"] + " " + mean["params"].astype(str), run_seed=0)


def _smoothed(data: pd.DataFrame, smooth: float) -> pd.DataFrame:
    span = smooth * data["step"].max()
    parts = [part.assign(smoothed=_average(part, span)) for _, part in data.groupby("run_id", sort=False)]
    thinned = [part.iloc[:: max(1, len(part) // POINTS)] for part in parts]
    return in_grid_order(pd.concat(thinned, ignore_index=True))


def _average(run: pd.DataFrame, span: float) -> np.ndarray:
    """The exponential average of one run's loss, without bias at its start; `span` is in steps."""
    spacing = max(1.0, float(run["step"].diff().median() or 1.0)) if len(run) > 1 else 1.0
    return run["loss"].ewm(com=max(span / spacing, 1e-6), adjust=True).mean().to_numpy()


def _lines(ax: Axes, data: pd.DataFrame, sizes: list[str]) -> None:
    colours = size_colours(sizes)
    for _, run in data.groupby("run_id", sort=False):
        first = run.iloc[0]
        ax.plot(run["step"], run["smoothed"], color=colours[first["size"]], ls=patch_dashes(first["patch"]), lw=1.3)
    ax.set_xlabel("training step")
    step_ticks(ax)


def _focus(ax: Axes, late: pd.DataFrame) -> None:
    """Show where curves differ late in training; the fall at the start, ten times higher, is the other panel's."""
    if len(late) > 1:
        low, high = late["smoothed"].min(), late["smoothed"].max()
        room = 0.08 * (high - low) or 0.01
        ax.set_ylim(low - room, high + 3 * room)
