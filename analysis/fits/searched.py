"""Laws that need a search from many starts: a power law that breaks, and a function of your own.

What is here is slower than the laws with a structure to use (`linear`, `powers`, `floored`): a second instead of
milliseconds. Starts are drawn from bounds with a fixed seed, and the result says how many of them reached the optimum.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares as search_least_squares

from dit_grid.analysis.fits.levenberg import huber
from dit_grid.analysis.fits.linear import least_squares
from dit_grid.analysis.fits.result import Array, FitResult, Status
from dit_grid.analysis.fits.rows import domain_of, multiple_r, require, usable

STARTS = 32
SAME = 1e-6
"""Objectives that differ by less than this share are one optimum."""

EDGE = 1e-4
"""A coefficient nearer to a bound than this share of the bounds' distance is at it."""

Function = Callable[[pd.DataFrame, Array], Array]
Bounds = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Searched:
    """A law of your own: `function(frame, theta)` returns y at each row, `bounds` names each coefficient and its range.

        bounds = {"floor": (0, 50), "scale": (1, 500), "exponent": (0, 2)}
        Searched(lambda f, t: t[0] + t[1] * f["gmacs"] ** -t[2], bounds)

    It is fitted to ln y unless `log_y` is False, by least squares or with Huber's threshold `delta`.
    """

    function: Function = field(repr=False)
    bounds: Bounds
    x: tuple[str, ...] = ("gmacs",)
    y: str = "value"
    log_y: bool = True
    delta: float | None = None
    title: str = "own law"

    @property
    def name(self) -> str:
        return self.title

    @property
    def predictors(self) -> tuple[str, ...]:
        return self.x

    def coefficients(self) -> tuple[str, ...]:
        """The names given as bounds."""
        return tuple(self.bounds)

    def units(self) -> tuple[str, ...]:
        """Unknown: the function is yours."""
        return ("",) * len(self.bounds)

    def mean(self, theta: Array, frame: pd.DataFrame) -> Array:
        """The function, in ln y where `log_y`; NaN where it has no logarithm."""
        with np.errstate(all="ignore"):
            y = np.asarray(self.function(frame, theta), dtype=float)
            return np.log(np.where(y > 0, y, np.nan)) if self.log_y else y

    def jacobian(self, theta: Array, frame: pd.DataFrame) -> Array:
        """Central differences of `mean`, (rows, coefficients)."""
        spans = np.array([high - low for low, high in self.bounds.values()])
        steps = np.maximum(1e-6 * np.abs(theta), 1e-9 * spans)
        sides = [
            [self.mean(theta + sign * step * unit, frame) for sign in (1, -1)]
            for step, unit in zip(steps, np.eye(len(theta)), strict=True)
        ]
        return np.column_stack([(up - down) / (2 * step) for (up, down), step in zip(sides, steps, strict=True)])

    def equation(self, theta: Array) -> str:
        near = self._at_bound(theta)
        texts = ["at its bound" if bound else f"{value:.4g}" for value, bound in zip(theta, near, strict=True)]
        return ", ".join(f"{name} = {text}" for name, text in zip(self.bounds, texts, strict=True))

    def _at_bound(self, theta: Array) -> NDArray[np.bool_]:
        low, high = np.array(list(self.bounds.values()), dtype=float).T
        return np.minimum(theta - low, high - theta) < EDGE * (high - low)

    def fit(self, frame: pd.DataFrame, starts: int = STARTS) -> FitResult:
        """The best fit from `starts` starts; status AT_BOUND where a coefficient lies on one of its bounds.

        Raises:
            CannotFitError: a column is missing, or there are no more points than coefficients.
        """
        logged = (self.y,) if self.log_y else ()
        rows, dropped = usable(frame, (*self.x, self.y), positive=logged)
        require(len(rows), len(self.bounds), self.name, dropped)
        observed = rows[self.y].to_numpy(dtype=float)
        target = np.log(observed) if self.log_y else observed
        best, arrived = self._search(rows, target, starts)
        residual = target - self.mean(best.x, rows)
        near = self._at_bound(best.x)
        jacobian = self.jacobian(best.x, rows)
        free = ~near if not near.all() else np.ones_like(near)
        _, unscaled, condition, status = least_squares(jacobian[:, free], target)
        if status is Status.CONVERGED:
            status = Status.AT_BOUND if near.any() else Status.CONVERGED if best.success else Status.NOT_CONVERGED
        covariance = np.zeros((len(best.x), len(best.x)))
        squares = float(residual @ residual)
        covariance[np.ix_(free, free)] = unscaled * squares / max(len(target) - int(free.sum()), 1)
        return FitResult(
            law=self,
            theta=best.x,
            covariance=covariance,
            objective=float(huber(residual, self.delta).sum()),
            squares=squares,
            n=len(rows),
            condition=condition,
            status=status,
            dropped=dropped,
            domain=domain_of(rows, self.x),
            r=multiple_r(target - residual, target),
            fixed=tuple(np.array(self.coefficients())[near]) if not near.all() else (),
            search=f"{starts} starts inside the bounds, {arrived} of them at this optimum",
        )

    def _search(self, rows: pd.DataFrame, target: Array, starts: int) -> tuple[OptimizeResult, int]:
        low, high = np.array(list(self.bounds.values()), dtype=float).T
        draws = np.random.default_rng(0).uniform(0.02, 0.98, (starts, len(low)))
        loss = {"loss": "huber", "f_scale": self.delta} if self.delta is not None else {}

        def residual(unit: Array) -> Array:
            gap = target - self.mean(low + unit * (high - low), rows)
            return np.where(np.isfinite(gap), gap, 1e6)

        found = [
            search_least_squares(
                residual, start, bounds=(0, 1), xtol=1e-12, ftol=1e-12, gtol=1e-12, max_nfev=400, **loss
            )
            for start in draws
        ]
        best = min(found, key=lambda result: result.cost)
        arrived = sum(result.cost <= best.cost * (1 + SAME) + 1e-18 for result in found)
        best.x = low + best.x * (high - low)
        return best, arrived


def broken_power_law(x: str = "gmacs", y: str = "value", span: tuple[float, float] = (1e-6, 1e6)) -> Searched:
    """A power law whose exponent changes once, smoothly, at a break inside `span` (Caballero et al. 2022, one break).

    y = A·x^−a·(1 + (x/d)^(1/f))^(−b·f): exponent a before d, a + b after it, f how gradual the change is. It has five
    coefficients, so it needs six points; twelve points seldom determine d and f, and the status says so.
    """

    def law(frame: pd.DataFrame, theta: Array) -> Array:
        ln_scale, before, change, ln_break, width = theta
        u = np.log(frame[x].to_numpy(dtype=float))
        bend = width * np.logaddexp(0.0, (u - ln_break) / width)
        return np.exp(ln_scale - before * u - change * bend)

    bounds = {"ln_scale": (-30.0, 30.0), "exponent": (-3.0, 3.0), "change": (-3.0, 3.0)}
    bounds |= {"ln_break": (float(np.log(span[0])), float(np.log(span[1]))), "width": (0.02, 3.0)}
    return Searched(law, bounds, (x,), y, title="broken power law")
