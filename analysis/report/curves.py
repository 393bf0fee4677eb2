"""Every curve that the page can draw: metrics and training quantities of each run over steps, thinned, as plain lists.

What is here selects and thins; what stands on which axis is chosen in the page.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dit_grid.analysis.figures.curves import reads
from dit_grid.analysis.fits.usable import described, is_usable
from dit_grid.analysis.results.frames import Results
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.analysis.results.protocols import main_protocol

Curve = list[list[float]]
"""Steps and values, as long as each other."""

MOST_NUMBERS = 120_000
"""Values of one quantity that travel to a page: with 1,000 runs as many a run as a plot on a phone has pixels for."""

FEWEST_POINTS, MOST_POINTS = 60, 400

MANY_RUNS = 200
"""Of more runs only the loss of what was logged in training travels unasked, beside every metric."""

LOSS = "train/loss"
"""The key of the training loss; keys of what is logged in training begin like this, and no metric's name does."""

LOGGED = {
    "loss": "training loss, MSE + bound term",
    "mse": "noise prediction error (MSE)",
    "vb": "bound term, bits/dimension",
    "loss_t1": "training loss, least noisy quarter of timesteps",
    "loss_t2": "training loss, second quarter of timesteps",
    "loss_t3": "training loss, third quarter of timesteps",
    "loss_t4": "training loss, noisiest quarter of timesteps",
    "grad_norm": "norm of the gradient",
    "param_norm": "norm of the parameters",
    "learning_rate": "learning rate",
    "steps_per_s": "updates per second",
    "mfu": "model FLOPs utilisation, share of peak",
    "data_wait_s": "waiting for data, s",
}
"""What is logged in training, with its unit."""

_ON_LOG = ("grad_norm", "learning_rate")


def quantities(results: Results) -> dict[str, dict[str, Any]]:
    """Key -> how it reads: `label`, `log` axis, `lower` is better, `metric` or logged; metrics first.

    All of them; what of it travels to a page without being asked for is `travelling`.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(map(str, set(results.evals["metric"]))):
        known = metric_named(name)
        found[name] = {"label": reads(name), "log": known.log, "lower": known.lower_is_better, "metric": True}
    for name, label in LOGGED.items():
        if name in results.train and np.isfinite(results.train[name].astype(float)).any():
            found[f"train/{name}"] = {"label": label, "log": name in _ON_LOG, "lower": True, "metric": False}
    return found


def travelling(asked: Mapping[str, Mapping[str, Any]], runs: int) -> dict[str, Any]:
    """The quantities whose curves a page of so many runs holds from the beginning."""
    return {key: said for key, said in asked.items() if said["metric"] or key == LOSS or runs <= MANY_RUNS}


def points_each(runs: int) -> int:
    """How many points of a curve travel where there are so many runs."""
    return int(np.clip(MOST_NUMBERS // max(runs, 1), FEWEST_POINTS, MOST_POINTS))


def main_protocols(evals: pd.DataFrame) -> dict[str, str | None]:
    """Metric -> the protocol under which it is drawn."""
    return {name: main_protocol(evals, name) for name in sorted(map(str, set(evals["metric"])))}


def main_rows(results: Results, protocols: Mapping[str, str | None] | None = None) -> pd.DataFrame:
    """The evaluation rows of every metric under its main protocol, or these, that can be drawn."""
    protocols = main_protocols(results.evals) if protocols is None else protocols
    rows = results.evals[results.evals["protocol"] == results.evals["metric"].map(protocols)]
    good = np.zeros(len(rows), bool)
    for name in protocols:
        of = (rows["metric"] == name).to_numpy()
        good[of] = np.asarray(is_usable(rows["value"][of], metric_named(str(name)).log))
    return rows[good]


def curves(train: pd.DataFrame, evals: pd.DataFrame, keys: Iterable[str], most: int) -> dict[str, dict[str, Curve]]:
    """Key -> run id -> its curve, of what is a number; `evals` are of `main_rows`. A run without a value has none."""
    found: dict[str, dict[str, Curve]] = {}
    for name, rows in evals.groupby("metric", sort=False):
        found[str(name)] = _of_runs(rows, "value", most, average=False)
    for key in (key for key in keys if key.startswith("train/")):
        found[key] = _of_runs(train, key.removeprefix("train/"), most, average=True)
    return {key: runs for key, runs in found.items() if runs}


def _of_runs(rows: pd.DataFrame, column: str, most: int, average: bool) -> dict[str, Curve]:
    """Run id -> curve of one column; rows of a run come in order of step."""
    rows = rows[np.asarray(is_usable(rows[column].astype(float)))]
    steps, values = rows["step"].to_numpy(), rows[column].to_numpy(float)
    return {
        str(run): curve(steps[at], values[at], most, average)
        for run, at in rows.groupby("run_id", sort=False).indices.items()
    }


def curve(steps: NDArray[Any], values: NDArray[np.floating], most: int, average: bool) -> Curve:
    """At most so many points: the means of equal bins, each at its last step, or where not averaged single ones.

    The last point is that of the last step.
    """
    if len(steps) > most:
        ends = np.unique(np.linspace(0, len(steps), most + 1).astype(int))
        means = np.add.reduceat(values, ends[:-1]) / np.diff(ends)
        steps, values = steps[ends[1:] - 1], means if average else values[ends[1:] - 1]
    return [[int(step) for step in steps], short(values)]


def interned(found: Mapping[str, Mapping[str, Curve]]) -> tuple[list[list[float]], dict[str, Any]]:
    """Lists of steps, each once, and the curves with the number of theirs: runs of a grid are logged at the same."""
    places: dict[tuple[float, ...], int] = {}
    packed = {
        key: {run: [places.setdefault(tuple(steps), len(places)), values] for run, (steps, values) in runs.items()}
        for key, runs in found.items()
    }
    return [list(steps) for steps in places], packed


def not_drawn(results: Results) -> list[str]:
    """What no plot shows because it is no number: how many values of each metric, and of the training loss."""
    said = [
        described(measured, "value", str(name), metric_named(str(name)).log)
        for name, measured in results.evals.groupby("metric")
    ]
    return [line for line in (*said, described(results.train, "loss", "the training loss")) if line]


def short(values: Iterable[Any]) -> list[float]:
    """Six significant digits: more than a screen shows, and a fraction of the size."""
    return [float(f"{value:.6g}") for value in values]
