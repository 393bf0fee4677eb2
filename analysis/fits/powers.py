"""Sums of powers with a floor, y = E + Σ A_k·x_k^−α_k: a power law that levels off, or Chinchilla's L(N, D).

The start comes from variable projection: for exponents on a grid the scales and the floor are a linear problem with
bounds, so only the exponents are searched. Laws without a floor or with one product are linear: `linear`.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy.optimize import minimize, nnls

from dit_grid.analysis.fits.levenberg import Model, huber, levenberg, scale_variance
from dit_grid.analysis.fits.linear import least_squares
from dit_grid.analysis.fits.result import Array, FitResult, Status
from dit_grid.analysis.fits.rows import domain_of, multiple_r, require, usable

EXPONENTS = np.geomspace(0.02, 2.5, 12)
"""Exponents tried for the start: from nearly flat to steeper than any published law of this form."""

NEGLIGIBLE = 1e-6
"""A floor below this share of the smallest y, or that lowers the objective by less than this share, is at its bound."""


@dataclass(frozen=True)
class SumOfPowers:
    """ln y = ln(E + Σ A_k·x_k^−α_k), all of A, E ≥ 0, fitted to ln y.

    `delta` is Huber's threshold on ln y (Hoffmann et al. 2022 use 1e-3); None is least squares. Chinchilla's law is
    `SumOfPowers(("params", "tokens"), "loss", delta=1e-3)`.
    """

    x: tuple[str, ...] = ("gmacs",)
    y: str = "value"
    delta: float | None = None
    floor: bool = True
    log_y: bool = True

    @property
    def name(self) -> str:
        return " + ".join((*(f"{x}^−α" for x in self.x), *(("floor",) if self.floor else ())))

    @property
    def predictors(self) -> tuple[str, ...]:
        return self.x

    def coefficients(self) -> tuple[str, ...]:
        """The scales A_k, the floor (0 without one), and the exponents α_k, each in the units of the columns."""
        return (*(f"scale[{x}]" for x in self.x), "floor", *(f"exponent[{x}]" for x in self.x))

    def units(self) -> tuple[str, ...]:
        """The unit of each coefficient: a scale is the y of one unit of its column."""
        return (*(f"{self.y}·{x}^α" for x in self.x), self.y, *("" for _ in self.x))

    def mean(self, theta: Array, frame: pd.DataFrame) -> Array:
        """ln y at each row."""
        return np.log(self._terms(theta, frame).sum(axis=1))

    def jacobian(self, theta: Array, frame: pd.DataFrame) -> Array:
        """The derivative of ln y in the coefficients, (rows, 2k + 1)."""
        k, logs, terms = len(self.x), _logs(frame, self.x), self._terms(theta, frame)
        share = terms / terms.sum(axis=1, keepdims=True)
        per_scale = np.exp(-logs * theta[k + 1 :]) / terms.sum(axis=1, keepdims=True)
        return np.column_stack([per_scale, 1 / terms.sum(axis=1), -share[:, :k] * logs])

    def equation(self, theta: Array) -> str:
        k = len(self.x)
        parts = [f"{a:.4g}·{x}^−{b:.4f}" for a, b, x in zip(theta[:k], theta[k + 1 :], self.x, strict=True)]
        return f"{self.y} = {' + '.join([*parts, f'{theta[k]:.4g}'] if theta[k] else parts)}"

    def fit(self, frame: pd.DataFrame) -> FitResult:
        """The fit; where the floor does not help, its status is AT_BOUND and the floor is 0, which is no finding.

        Raises:
            CannotFitError: a column is missing, or there are no more points than coefficients.
        """
        rows, dropped = usable(frame, (*self.x, self.y), positive=(*self.x, self.y))
        require(len(rows), 2 * len(self.x) + self.floor, self.name, dropped)
        problem = Problem.of(self, rows)
        theta, objective, converged = problem.solve(with_floor=False)
        bounded = self.floor
        if self.floor:
            floored, lower, converged_too = problem.solve(with_floor=True)
            helps = lower < objective * (1 - NEGLIGIBLE) and floored[len(self.x)] > NEGLIGIBLE * rows[self.y].min()
            if helps:
                theta, objective, converged, bounded = floored, lower, converged_too, False
        return self._result(rows, dropped, theta, objective, converged, bounded)

    def _result(
        self, rows: pd.DataFrame, dropped: tuple, theta: Array, objective: float, converged: bool, bounded: bool
    ) -> FitResult:
        target = np.log(rows[self.y].to_numpy(dtype=float))
        residual = target - self.mean(theta, rows)
        free = [c for c in range(len(theta)) if c != len(self.x) or theta[c] > 0]
        covariance = np.full((len(theta), len(theta)), 0.0)
        jac = self.jacobian(theta, rows)[:, free]
        _, unscaled, condition, status = least_squares(jac, target)
        once = np.ones((1, len(rows)))
        covariance[np.ix_(free, free)] = unscaled * scale_variance(residual[None], once, len(free), self.delta)[0]
        if status is Status.CONVERGED:
            status = Status.AT_BOUND if bounded else Status.CONVERGED if converged else Status.NOT_CONVERGED
        return FitResult(
            law=self,
            theta=theta,
            covariance=covariance,
            objective=objective,
            squares=float(residual @ residual),
            n=len(rows),
            condition=condition,
            status=status,
            dropped=dropped,
            domain=domain_of(rows, self.x),
            r=multiple_r(target - residual, target),
            fixed=("floor",) if len(free) < len(theta) else (),
            search=f"variable projection at {len(EXPONENTS) ** len(self.x)} sets of exponents, the best three polished",
        )

    def _terms(self, theta: Array, frame: pd.DataFrame) -> Array:
        k = len(self.x)
        powers = theta[:k] * np.exp(-_logs(frame, self.x) * theta[k + 1 :])
        return np.column_stack([powers, np.full(len(frame), theta[k])])


def _logs(frame: pd.DataFrame, columns: tuple[str, ...]) -> Array:
    return np.log(np.array([frame[column].to_numpy(dtype=float) for column in columns]).T)


@dataclass(frozen=True)
class Problem:
    """A sum of powers on fixed rows, in coefficients that the search likes: logarithms, at the centre of ln x.

    `logs` (n, k) are centred by `centre`; `target` is ln y. Search coefficients are k log-scales, the log-floor if
    there is one, k exponents.
    """

    logs: Array
    centre: Array
    target: Array
    delta: float | None

    @classmethod
    def of(cls, law: SumOfPowers, rows: pd.DataFrame) -> "Problem":
        logs = _logs(rows, law.x)
        return cls(logs - logs.mean(axis=0), logs.mean(axis=0), np.log(rows[law.y].to_numpy(float)), law.delta)

    def model(self, with_floor: bool) -> Model:
        """The batch model for `levenberg`."""
        k = self.logs.shape[1]
        logs = np.ascontiguousarray(self.logs.T)

        def model(theta: Array) -> tuple[Array, Array]:
            jac = np.empty((len(theta), theta.shape[1], logs.shape[1]))
            jac[:, :k] = np.exp(theta[:, :k, None] - theta[:, -k:, None] * logs)
            if with_floor:
                jac[:, k] = np.exp(theta[:, k, None])
            total = jac[:, :-k].sum(axis=1)
            jac[:, :-k] /= total[:, None]
            jac[:, -k:] = -jac[:, :k] * logs
            return np.log(total), jac

        return model

    def solve(self, with_floor: bool) -> tuple[Array, float, bool]:
        """Natural coefficients, objective, and whether the search converged."""
        model, weights = self.model(with_floor), np.ones((1, len(self.target)))
        starts = self._starts(with_floor)
        found = levenberg(model, starts, self.target, np.repeat(weights, len(starts), axis=0), self.delta, 20)
        best = found.theta[np.argmin(found.objective)]
        polished = minimize(self._value_and_gradient, best, (model,), method="BFGS", jac=True, options={"gtol": 1e-10})
        theta = polished.x if polished.fun <= found.objective.min() else best
        gradient = self._value_and_gradient(theta, model)[1]
        settled = float(np.abs(gradient).max()) <= 1e-9 + 1e-5 * np.sqrt(polished.fun * len(self.target))
        return self.natural(theta[None], with_floor)[0], float(min(polished.fun, found.objective.min())), settled

    def natural(self, theta: Array, with_floor: bool) -> Array:
        """Search coefficients (batch, ·) as scales, floor, exponents in the units of the columns."""
        k = self.logs.shape[1]
        floor = np.exp(theta[:, k : k + 1]) if with_floor else np.zeros((len(theta), 1))
        return np.column_stack([np.exp(theta[:, :k] + theta[:, -k:] * self.centre), floor, theta[:, -k:]])

    def logarithms(self, with_floor: bool) -> Array:
        """The matrix from search coefficients to ln scales, ln floor, exponents, in the units of the columns."""
        k, matrix = self.logs.shape[1], np.eye(2 * self.logs.shape[1] + with_floor)
        matrix[np.arange(k), np.arange(-k, 0)] = self.centre
        return matrix

    def search(self, natural: Array, with_floor: bool) -> Array:
        """The inverse of `natural` for one set of coefficients."""
        k = self.logs.shape[1]
        scales = np.log(natural[:k]) - natural[k + 1 :] * self.centre
        return np.concatenate([scales, [np.log(natural[k])] if with_floor else [], natural[k + 1 :]])

    def _value_and_gradient(self, theta: Array, model: Model) -> tuple[float, Array]:
        with np.errstate(over="ignore", invalid="ignore"):  # BFGS tries steps past what float64 holds, and takes none
            mean, jac = model(theta[None])
        residual = self.target - mean[0]
        if not np.isfinite(residual).all() or not np.isfinite(jac).all():
            return 1e300, np.zeros_like(theta)
        influence = residual if self.delta is None else np.clip(residual, -self.delta, self.delta)
        return float(huber(residual, self.delta).sum()), -jac[0] @ influence

    def _starts(self, with_floor: bool, count: int = 3) -> Array:
        """The best few grid points of exponents, each with its scales and floor by non-negative least squares.

        Rows are divided by y, so that the linear residual is the logarithmic one to first order (Golub & Pereyra 1973
        for the projection).
        """
        inverse = np.exp(-self.target)
        found = []
        for exponents in product(EXPONENTS, repeat=self.logs.shape[1]):
            columns = [np.exp(-a * u) * inverse for a, u in zip(exponents, self.logs.T, strict=True)]
            scales, misfit = nnls(
                np.column_stack([*columns, inverse] if with_floor else columns), np.ones(len(inverse))
            )
            start = np.concatenate([np.log(np.maximum(scales, 1e-6 * scales.max() + 1e-300)), exponents])
            found.append((misfit, tuple(start)))
        return np.array([start for _, start in sorted(found)[:count]])
