"""Where between the values tried a hyperparameter is best for each model, and the power law of that in size.

What is here reads the cells of a sweep; which of them is best is `results.sweeps`, what is said of it is `tuning`.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dit_grid.analysis.fits import CannotFitError, FitResult, PowerLaw, fit_with_noise
from dit_grid.analysis.fits.result import Array
from dit_grid.analysis.fits.rows import is_numeric
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.analysis.results.sweeps import Sweep

MODELS = 3
"""Optima that a law needs: a line has two coefficients."""


@dataclass(frozen=True)
class Optima:
    """The best `key` of each model, and its power law in `x`.

    `table` has a row a model with a best value: model, `x`, `tried` (the value), `optimum` (between the values; NaN
    where the sweep does not enclose it), `ln_se`, the standard error of its logarithm, and `how`, a few words. `factor`
    is how far apart neighbours are where they are farthest. `fit` is None with a reason in `why`.
    """

    key: str
    x: str
    table: pd.DataFrame
    factor: float
    fit: FitResult | None
    why: str = ""

    @property
    def is_too_coarse(self) -> bool:
        """Whether the law moves the optimum less over all models than from one value tried to the next."""
        if self.fit is None:
            return False
        low, high = self.fit.domain[self.x]
        return bool(abs(self.fit.params["exponent"].value) * np.log(high / low) < np.log(self.factor))


def optima_of(sweep: Sweep, x: str) -> tuple[Optima, ...]:
    """For each key whose values are a geometric range (of three at least), where it is best and how that moves in `x`.

    Of several keys the others are held at their best. An optimum is the lowest point of the parabola in ln key through
    the best value and its two neighbours, in ln value (in the value of metrics without a log axis). Its error is that
    of the seeds, pooled, and at least the spacing over the root of 12, what is known without a parabola; beside a
    neighbour that diverged the value itself is taken. The law is a power law whose points weigh by those errors
    (`fit_with_noise`), with t intervals of its own scatter.
    """
    keys = [key for key in sweep.keys if is_geometric(sweep.cells[key], 3)]
    return tuple(_optima(sweep, key, x) for key in keys)


def is_geometric(column: pd.Series, least: int = 2) -> bool:
    """Whether the values (at least so many) are numbers whose ratios are more alike than their differences.

    Two are, where one is at least twice the other.
    """
    values = np.unique(column.dropna().to_numpy()) if is_numeric(column) else np.array([])
    if len(values) < least or values[0] <= 0:
        return False
    if len(values) == 2:
        return bool(values[1] / values[0] >= 2)
    steps, ratios = np.diff(values), np.diff(np.log(values))
    return bool(np.std(ratios) / np.mean(ratios) < np.std(steps) / np.mean(steps))


def _optima(sweep: Sweep, key: str, x: str) -> Optima:
    noise = _noise(sweep)
    rows = []
    for cell in sweep.best.to_dict("records"):
        found = _optimum(line_through(sweep, cell, key), cell, key, sweep.metric, noise)
        rows.append({"model": cell["model"], x: cell[x], "tried": cell[key], **found})
    table = pd.DataFrame(rows, columns=["model", x, "tried", "optimum", "ln_se", "how"])
    inside = table[table["optimum"].notna()]
    factor = _factor(sweep, key)
    if len(inside) < MODELS:
        return Optima(key, x, table, factor, None, f"{len(inside)} of {len(table)} models have it inside their sweep")
    if inside[x].isna().any() or inside[x].nunique() < 2:
        return Optima(key, x, table, factor, None, f"{x} is not known of all models, or the same for all")
    try:
        fit = fit_with_noise(PowerLaw(x=x, y="optimum"), inside, inside["ln_se"])
    except CannotFitError as error:
        return Optima(key, x, table, factor, None, str(error))
    return Optima(key, x, table, factor, fit)


def line_through(sweep: Sweep, cell: dict[Hashable, Any], key: str) -> pd.DataFrame:
    """The cells of a model that differ from this one in `key` alone, in order of it."""
    cells = sweep.cells[(sweep.cells["model"] == cell["model"]) & (sweep.cells["rule"] == cell["rule"])]
    for other in sweep.keys:
        if other != key:
            cells = cells[cells[other].astype(str) == str(cell[other])]
    return cells.sort_values(key, kind="stable")


def _optimum(
    line: pd.DataFrame, cell: dict[Hashable, Any], key: str, metric: str, noise: tuple[float, int]
) -> dict[str, Any]:
    nothing = {"optimum": float("nan"), "ln_se": float("nan")}
    at = int(np.flatnonzero((line[key] == cell[key]).to_numpy())[0])
    if at in (0, len(line) - 1):
        return nothing | {"how": "one value" if len(line) == 1 else "at the edge"}
    three = line.iloc[at - 1 : at + 2]
    u = np.log(three[key].to_numpy(dtype=float))
    blunt = float(u[2] - u[0]) / 2 / np.sqrt(12)
    if (three["diverged"] > 0).any():
        return {"optimum": float(cell[key]), "ln_se": blunt, "how": "beside a value that diverged"}
    if three["value"].isna().any():
        return nothing | {"how": "a neighbour is not finished"}
    values = three["value"].to_numpy(dtype=float)
    y = np.log(values) if metric_named(metric).log else values
    place, gradient = vertex(u, y)
    sharp = noise[0] * float(np.sqrt(np.sum(gradient**2 / three["seeds"].to_numpy()))) if noise[1] else 0.0
    return {"optimum": float(np.exp(place)), "ln_se": max(sharp, blunt), "how": "parabola"}


def vertex(u: Array, y: Array) -> tuple[float, Array]:
    """Where the parabola through three points has its extremum, and the derivative of that place in each y.

    The middle one has the extreme y; three equal ones have theirs in the middle, which no y moves.
    """
    (a, b), span = np.diff(y) / np.diff(u), u[2] - u[0]
    if a == b:
        return float(u[1]), np.zeros(3)
    of_a, of_b = -span / 2 * b / (b - a) ** 2, span / 2 * a / (b - a) ** 2
    left, right = np.diff(u)
    gradient = np.array([-of_a / left, of_a / left - of_b / right, of_b / right])
    return float((u[0] + u[1]) / 2 - a * span / (2 * (b - a))), gradient


def _factor(sweep: Sweep, key: str) -> float:
    """The largest ratio of neighbours among the values that any one model was trained under."""
    values = [np.unique(cells[key].dropna()) for _, cells in sweep.cells.groupby(["model", "rule"])]
    return max((float((v[1:] / v[:-1]).max()) for v in values if len(v) > 1), default=1.0)


def _noise(sweep: Sweep) -> tuple[float, int]:
    """The standard deviation of a value between seeds of one cell, in the units of the parabola, and its freedom."""
    values = sweep.runs["value"].to_numpy(dtype=float)
    told = sweep.runs.assign(y=np.log(values) if metric_named(sweep.metric).log else values)
    groups = told.groupby(["model", "rule", "setting"])["y"]
    dof = len(told) - groups.ngroups
    squares = float(((told["y"] - groups.transform("mean")) ** 2).sum())
    return (float(np.sqrt(squares / dof)), dof) if dof else (float("nan"), 0)
