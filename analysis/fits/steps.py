"""A metric over training steps of many models at once, and what follows: the best model for a budget, and crossovers.

What is here is the joint law and its use; the measured frontier, without a law, is drawn by the figures.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import stdtrit

from dit_grid.analysis.fits.linear import LinearLaw
from dit_grid.analysis.fits.result import Array, FitResult
from dit_grid.analysis.fits.rows import CannotFitError
from dit_grid.model.accounting import TRAINING_FORWARDS


@dataclass(frozen=True)
class ParamsTokensSteps(LinearLaw):
    """ln y = c + a·n + b·t + g·n·t + (s + sn·n + st·t)·u with n, t, u the logarithms of params, tokens and step.

    Each is taken from its `centre`, the mean of the data unless given. The exponent of steps differs between models
    (sn, st): with one for all, curves over compute would never cross. Under a floor use `Floored(ParamsTokensSteps())`.
    """

    params: str = "params"
    tokens: str = "tokens"
    step: str = "step"
    y: str = "value"
    centre: tuple[float, float, float] | None = None
    title: ClassVar[str] = "params × tokens over steps"

    @property
    def predictors(self) -> tuple[str, ...]:
        return (self.params, self.tokens, self.step)

    def bound_to(self, frame: pd.DataFrame) -> Self:
        if self.centre is not None:
            return self
        n, t, u = (float(np.log(frame[c].to_numpy(dtype=float)).mean()) for c in self.predictors)
        return replace(self, centre=(n, t, u))

    def coefficients(self) -> tuple[str, ...]:
        first = ("ln_scale", "params_exponent", "tokens_exponent", "interaction")
        return (*first, "steps_exponent", "steps_params", "steps_tokens")

    def units(self) -> tuple[str, ...]:
        return (f"ln {self.y}", *("",) * 6)

    def design(self, frame: pd.DataFrame) -> Array:
        centre = self.centre or (0.0, 0.0, 0.0)
        logs = (np.log(frame[c].to_numpy(dtype=float)) - m for c, m in zip(self.predictors, centre, strict=True))
        n, t, u = logs
        return np.column_stack([np.ones(len(frame)), n, t, n * t, u, n * u, t * u])

    def equation(self, theta: Array) -> str:
        terms = ("", "·n", "·t", "·n·t", "·u", "·n·u", "·t·u")
        body = " ".join(f"{value:+.4g}{term}" for value, term in zip(theta, terms, strict=True))
        mn, mt, mu = self.centre or (0.0, 0.0, 0.0)
        middle = f"n = ln {self.params} − {mn:.4f}, t = ln {self.tokens} − {mt:.4f}, u = ln {self.step} − {mu:.4f}"
        return f"ln {self.y} = {body.lstrip('+')}, {middle}"


def along_compute(fit: FitResult, models: pd.DataFrame, budgets: Array) -> pd.DataFrame:
    """Predictions of every model at every budget of training compute (GMACs): a row each, with its `step`.

    `models` has a row a model with columns model, params, tokens, gmacs and batch. `mean`, `low`, `high` and
    `extrapolation` are those of `FitResult.predict`; a budget under one step of a model has no row.
    """
    grid = models.merge(pd.DataFrame({"train_gmacs": np.asarray(budgets, dtype=float)}), how="cross")
    grid["step"] = grid["train_gmacs"] / (TRAINING_FORWARDS * grid["batch"] * grid["gmacs"])
    grid = grid[grid["step"] >= 1].reset_index(drop=True)
    return grid.join(fit.predict(grid))


def efficient_frontier(
    fit: FitResult, models: pd.DataFrame, budgets: Array, lower_is_better: bool = True
) -> pd.DataFrame:
    """The best model for each budget of training compute, as rows of `along_compute`, in order of budget."""
    rows = along_compute(fit, models, budgets).sort_values("mean", ascending=lower_is_better, kind="stable")
    return rows.drop_duplicates("train_gmacs").sort_values("train_gmacs").reset_index(drop=True)


class Crossover(NamedTuple):
    """Where the larger model overtakes: training compute `budget` (GMACs), its `step` there, and the budget's interval.

    `low` and `high` are 95 % ends; 0 or infinite where the fit does not bound that side within the span.
    """

    budget: float
    step: float
    low: float
    high: float


def crossover(
    fit: FitResult, models: pd.DataFrame, small: str, large: str, span: tuple[float, float]
) -> Crossover | None:
    """The training compute from which `large` is predicted below `small`.

    The last crossing within `span` (GMACs) is taken; None where there is none in it, or `small` wins at its end. The
    interval holds the budgets around it at which the two predictions differ by less than Student's t times the error
    of their difference (Fieller 1954). It takes residuals as independent; evaluations of one run seldom are, and then
    it is too narrow.

    Raises:
        CannotFitError: one of the names is not among the models.
    """
    pair = {name: models[models["model"] == name].head(1) for name in (small, large)}
    absent = [name for name, row in pair.items() if row.empty]
    if absent:
        raise CannotFitError(f"no model {absent[0]!r}; there are {', '.join(map(str, models['model']))}")

    def gap(ln_budgets: Array | float) -> tuple[Array, Array]:
        return _difference(fit, pair[large], pair[small], np.atleast_1d(ln_budgets))

    at = np.linspace(np.log(span[0]), np.log(span[1]), 200)
    gaps, _ = gap(at)
    turns = np.flatnonzero((gaps[:-1] > 0) & (gaps[1:] <= 0))
    if not len(turns) or gaps[-1] > 0:
        return None
    root = float(brentq(lambda x: gap(x)[0][0], at[turns[-1]], at[turns[-1] + 1]))
    row, budget = pair[large].iloc[0], float(np.exp(root))
    t = stdtrit(fit.t_dof or fit.dof, 0.975)

    def told_apart(ln_budgets: Array | float) -> Array:
        apart, error = gap(ln_budgets)
        return np.abs(apart) - t * error

    low, high = _around(told_apart, at, root)
    return Crossover(budget, budget / (TRAINING_FORWARDS * float(row["batch"]) * float(row["gmacs"])), low, high)


def _difference(fit: FitResult, large: pd.DataFrame, small: pd.DataFrame, ln_budgets: Array) -> tuple[Array, Array]:
    """The law of one model minus that of the other at each ln budget, and its standard error."""
    rows = [_along(model, np.exp(ln_budgets)) for model in (large, small)]
    means = [fit.law.mean(fit.theta, row) for row in rows]
    apart = fit.law.jacobian(fit.theta, rows[0]) - fit.law.jacobian(fit.theta, rows[1])
    error = np.sqrt(np.einsum("ni,ij,nj->n", apart, np.nan_to_num(fit.covariance), apart))
    return means[0] - means[1], error


def _along(model: pd.DataFrame, budgets: Array) -> pd.DataFrame:
    """One model at each budget of training compute (GMACs), with its `step`."""
    rows = model.loc[model.index.repeat(len(budgets))].reset_index(drop=True)
    return rows.assign(step=budgets / (TRAINING_FORWARDS * rows["batch"] * rows["gmacs"]))


def _around(above_zero: Callable[[Array | float], Array], at: Array, root: float) -> tuple[float, float]:
    """The nearest zeros of a function on both sides of `root`, where it is negative, as budgets; 0, infinite: none."""
    if above_zero(root)[0] >= 0:  # no noise, no width
        return float(np.exp(root)), float(np.exp(root))
    ends = []
    for side, none in ((at[at < root][::-1], 0.0), (at[at > root], float("inf"))):
        positive = np.flatnonzero(above_zero(side) > 0) if len(side) else np.array([], dtype=int)
        if not len(positive):
            ends.append(none)
            continue
        first = int(positive[0])
        inner = side[first - 1] if first else root
        ends.append(float(np.exp(brentq(lambda x: float(above_zero(x)[0]), side[first], inner))))
    return ends[0], ends[1]
