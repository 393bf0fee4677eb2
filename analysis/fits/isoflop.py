"""The best size for a budget: a parabola through the models trained with one compute, and how its minimum grows.

Approach 2 of Hoffmann et al. 2022. What is here works on any columns; curves over training are cut at budgets first.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dit_grid.analysis.fits.linear import PowerLaw, Quadratic
from dit_grid.analysis.fits.result import Dropped, FitResult
from dit_grid.analysis.fits.rows import CannotFitError, usable


@dataclass(frozen=True)
class IsoFlop:
    """`minima`, a row a budget (optimum, its standard error in ln, value there, n), and the power laws of both.

    `optimum` is the fit of the best size against the budget, `value` of the metric there; None below three minima.
    `dropped` names budgets without a minimum inside the data, with the reason: a parabola that opens downwards, or
    whose lowest point lies outside the sizes tried, says nothing about the best size.
    """

    minima: pd.DataFrame
    optimum: FitResult | None
    value: FitResult | None
    dropped: tuple[Dropped, ...]


def iso_flop(frame: pd.DataFrame, budget: str = "flops", x: str = "params", y: str = "loss") -> IsoFlop:
    """The parabolas of ln y in ln x, one a value of the `budget` column, and the power laws of their minima.

    Raises:
        CannotFitError: a column is missing.
    """
    rows, dropped = usable(frame, (budget, x, y), positive=(budget, x, y))
    minima: list[dict[str, float]] = []
    without = list(dropped)
    for level, group in rows.groupby(budget):
        found = _minimum(group, x, y)
        if isinstance(found, str):
            without.append(Dropped(f"{budget} = {level:.4g}", found))
        else:
            minima.append({budget: float(str(level)), **found})
    table = pd.DataFrame(minima, columns=[budget, "optimum", "ln_se", "value", "n"])
    return IsoFlop(table, _power(table, budget, "optimum"), _power(table, budget, "value"), tuple(without))


def _minimum(group: pd.DataFrame, x: str, y: str) -> dict[str, float] | str:
    """The lowest point of one budget's parabola, or why there is none."""
    centre = float(np.log(group[x]).mean())
    try:
        fit = Quadratic(x="u", y=y).fit(group.assign(u=group[x] / np.exp(centre)))
    except CannotFitError as error:
        return str(error)
    _, slope, bend = fit.theta
    if bend <= 0:
        return "the parabola opens downwards"
    at = -slope / (2 * bend)
    low, high = np.log(group[x]).min() - centre, np.log(group[x]).max() - centre
    if not low <= at <= high:
        return f"its lowest point, {np.exp(at + centre):.4g}, lies outside the {len(group)} sizes tried"
    gradient = np.array([0.0, -1 / (2 * bend), slope / (2 * bend**2)])
    spread = float(np.sqrt(gradient @ np.nan_to_num(fit.covariance) @ gradient))
    value = float(np.exp(fit.theta[0] + slope * at + bend * at**2))
    return {"optimum": float(np.exp(at + centre)), "ln_se": spread, "value": value, "n": len(group)}


def _power(table: pd.DataFrame, x: str, y: str) -> FitResult | None:
    return PowerLaw(x=x, y=y).fit(table) if len(table) >= 3 else None


def cut_at_budgets(
    rows: pd.DataFrame, budgets: "list[float]", compute: str = "train_gmacs", y: str = "value"
) -> pd.DataFrame:
    """Each model's curve at each budget inside it, by a straight line in the logarithms between its two neighbours.

    `rows` has one row a model and evaluation, columns model, params, `compute`, y. Returns model, params, `compute`, y.
    """
    cut = []
    for (model, params), line in rows.groupby(["model", "params"], sort=False):
        line = line.sort_values(compute)
        at, values = np.log(line[compute].to_numpy(dtype=float)), np.log(line[y].to_numpy(dtype=float))
        inside = [b for b in budgets if at[0] <= np.log(b) <= at[-1]]
        cut += [
            {"model": model, "params": params, compute: b, y: float(np.exp(np.interp(np.log(b), at, values)))}
            for b in inside
        ]
    return pd.DataFrame(cut, columns=["model", "params", compute, y])
