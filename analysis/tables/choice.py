"""Which rows of a table to measure next, so that rows that will not be measured are known best for a budget.

The criterion is the mean squared error of ln y over the target rows (V-optimal; Atkinson, Donev & Tobias 2007,
chapter 10), per unit of cost, each choice reckoned after the ones before. Asked again after every result it is the
sequential form (arXiv 2604.22753, there with basins of one law, here with a mixture of laws). Nothing is launched here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dit_grid.analysis.tables.any_table import group_levels, group_spread
from dit_grid.analysis.tables.axes import axes_of
from dit_grid.analysis.tables.logarithms import scale_of
from dit_grid.analysis.tables.moments import joint
from dit_grid.analysis.tables.priors import kind_of, prior_of, with_floor_of
from dit_grid.analysis.tables.table import TableError, Tables, checked

WORTH = 0.005
"""A row that is expected to lessen the root mean squared error by less than this share is not bought."""


@dataclass(frozen=True)
class NextRows:
    """`rows` has a row a candidate, bought ones first in order: `bought` from 1 (NaN: not), `row` its number in the
    table of candidates, `cost`, `error_after` if it alone were measured, and `gain_per_cost`.

    `now` and `then` are the expected root mean squared errors of ln y over the target rows, before and after.
    """

    rows: pd.DataFrame
    now: float
    then: float
    spent: float
    notes: tuple[str, ...] = ()


def next_rows(
    seen: pd.DataFrame, candidates: pd.DataFrame, region: pd.DataFrame, y: str, x: Sequence[str], cost: Sequence[float],
    budget: float, group: str | None = None, without: tuple[str, ...] = (),
    names: tuple[str, str] = ("the table", "the target rows"),
) -> NextRows:  # fmt: skip
    """The candidates to measure within `budget`, in the unit of `cost`, for the sake of the rows of `region`.

    Arguments as of `forecast_table`; a candidate may be a row of the region as well.

    Raises:
        TableError: a table cannot be used; a cost is no number above zero; no candidate.
    """
    costs = np.asarray(cost, float)
    if not len(candidates):
        raise TableError(f"{names[0]}: no row is left to choose from; candidates are rows without {y}")
    if not (np.isfinite(costs) & (costs > 0)).all():
        bad = int(np.flatnonzero(~(np.isfinite(costs) & (costs > 0)))[0])
        raise TableError(f"{names[0]}, candidate {bad + 1}: a cost of {costs[bad]:g}; must be a number above zero")
    columns = [*x, *([group] if group else [])]
    asked = pd.concat([region[columns], candidates[columns]], ignore_index=True)
    tables = checked(seen, asked, y, tuple(x), group, names)
    order, covariance, noise = _bought(tables, len(region), costs, budget, without)
    rows = _ranked(covariance, noise, len(region), costs, order)
    now, then = (float(np.sqrt(np.trace(c[: len(region), : len(region)]) / len(region))) for c in
                 (covariance, _after(covariance, noise, [len(region) + k for k in order])))  # fmt: skip
    return NextRows(rows, now, then, float(costs[order].sum()), tables.dropped)


def _bought(
    tables: Tables, targets: int, costs: np.ndarray, budget: float, without: tuple[str, ...]
) -> tuple[list[int], np.ndarray, float]:
    """Numbers of the candidates bought, in order, and covariance and noise of targets and candidates before."""
    axes = axes_of(tables.seen, tables.asked, tables.x)
    both = [group_levels(frame, tables.seen, tables.group) for frame in (tables.seen, tables.asked)]
    values = tables.seen[tables.y].to_numpy()
    scale = scale_of(tables.y, values)
    t = scale.to(values)
    sd = group_spread(t, axes.named["compute"][0], both[0])
    dearest = float(values[np.argmax(axes.named["compute"][0])])
    prior = with_floor_of(prior_of(kind_of(tables.y), without), tables.y, dearest)
    found = joint(t, axes, prior, both[0], both[1], sd)
    by = np.append(scale.slope(found.mean[:targets]), np.ones(len(costs)))  # targets in ln y, candidates as fitted
    covariance = found.covariance * np.outer(by, by)
    return _greedy(covariance, found.noise, targets, costs, budget), covariance, found.noise


def _greedy(covariance: np.ndarray, noise: float, targets: int, costs: np.ndarray, budget: float) -> list[int]:
    """The best gain per cost that fits, again and again, or the best single one where that gains more."""
    bought: list[int] = []
    left, now = budget, covariance
    while True:
        gains = _gains(now, noise, targets)
        gains[bought] = 0.0  # a second seed of a row is another question
        fits = (costs <= left) & (gains > 2 * WORTH * np.trace(now[:targets, :targets]))
        if not fits.any():
            break
        best = int(np.argmax(np.where(fits, gains / costs, -1.0)))
        bought.append(best)
        left -= costs[best]
        now = _after(now, noise, [targets + best])
    gains = np.where(costs <= budget, _gains(covariance, noise, targets), 0.0)
    saved = np.trace(covariance[:targets, :targets]) - np.trace(now[:targets, :targets])
    return [int(np.argmax(gains))] if gains.max() > saved else bought


def _gains(covariance: np.ndarray, noise: float, targets: int) -> np.ndarray:
    """By how much each candidate alone lessens the summed variance of the targets."""
    own = np.diag(covariance)[targets:] + noise
    return (covariance[:targets, targets:] ** 2).sum(0) / own


def _after(covariance: np.ndarray, noise: float, measured: Sequence[int]) -> np.ndarray:
    """The covariance once the rows `measured` are known up to noise."""
    for place in measured:
        column = covariance[:, place]
        covariance = covariance - np.outer(column, column) / (column[place] + noise)
    return covariance


def _ranked(covariance: np.ndarray, noise: float, targets: int, costs: np.ndarray, bought: list[int]) -> pd.DataFrame:
    gains, total = _gains(covariance, noise, targets), np.trace(covariance[:targets, :targets])
    place = {row: number for number, row in enumerate(bought, 1)}
    table = pd.DataFrame({"row": np.arange(len(costs)), "cost": costs})
    table["bought"] = table["row"].map(place).astype(float)
    table["error_after"] = np.sqrt(np.maximum(total - gains, 0) / targets)
    table["gain_per_cost"] = (np.sqrt(total / targets) - table["error_after"]) / costs
    return table.sort_values(["bought", "gain_per_cost"], ascending=[True, False], kind="stable", ignore_index=True)
