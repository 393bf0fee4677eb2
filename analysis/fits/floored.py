"""A floor under any law that is linear in its logarithm: y = E + exp(design · θ), with E ≥ 0 found by the data or not.

What is here is one nonlinear coefficient on top of `linear`; sums of several powers are `powers`.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from dit_grid.analysis.fits.levenberg import Model, levenberg
from dit_grid.analysis.fits.linear import LinearLaw, PowerLaw, least_squares
from dit_grid.analysis.fits.result import Array, FitResult, Status
from dit_grid.analysis.fits.rows import domain_of, multiple_r, require, usable

FLOORS = np.concatenate([np.geomspace(1e-3, 0.5, 6), [0.7, 0.85, 0.95, 0.99]])
"""Floors tried for the start, as shares of the smallest y; for each the rest is a closed form."""

NEGLIGIBLE = 1e-6
"""A floor below this share of the smallest y, or that lowers the objective by less than this share, is at its bound."""


@dataclass(frozen=True)
class Floored:
    """y = E + exp(law), fitted to ln y by least squares; `law` is any linear law of ln y.

    Along training steps a floor is needed (XL/2 of the paper: 19.47, 10.67, 9.62 at 400K, 2,352K and 7,000K steps fit
    E = 9.2); over forward compute the twelve models do not determine one, and the fit says so.
    """

    law: LinearLaw = field(default_factory=PowerLaw)

    @property
    def name(self) -> str:
        return f"{self.law.name} + floor"

    @property
    def y(self) -> str:
        return self.law.y

    @property
    def log_y(self) -> bool:
        return True

    @property
    def predictors(self) -> tuple[str, ...]:
        return self.law.predictors

    def coefficients(self) -> tuple[str, ...]:
        """Those of the law, then the floor."""
        return (*self.law.coefficients(), "floor")

    def units(self) -> tuple[str, ...]:
        """The unit of each coefficient."""
        return (*self.law.units(), self.y)

    def mean(self, theta: Array, frame: pd.DataFrame) -> Array:
        """ln y at each row."""
        return np.log(theta[-1] + np.exp(self.law.design(frame) @ theta[:-1]))

    def jacobian(self, theta: Array, frame: pd.DataFrame) -> Array:
        """The derivative of ln y in the coefficients, (rows, p + 1)."""
        design = self.law.design(frame)
        power = np.exp(design @ theta[:-1])
        total = theta[-1] + power
        return np.column_stack([design * (power / total)[:, None], 1 / total])

    def equation(self, theta: Array) -> str:
        rest = self.law.equation(theta[:-1])
        if not theta[-1]:
            return f"{rest} (no floor found)"
        return f"{self.y} − {theta[-1]:.4g} in place of {self.y} in: {rest}"

    def fit(self, frame: pd.DataFrame) -> FitResult:
        """The fit; where the floor does not help, its status is AT_BOUND and the floor is 0, which is no finding.

        Raises:
            CannotFitError: a column is missing, or there are no more points than coefficients.
        """
        columns = (*self.predictors, self.y)
        rows, dropped = usable(frame, columns, positive=columns)
        bound = Floored(self.law.bound_to(rows))
        require(len(rows), len(bound.coefficients()), self.name, dropped)
        target = np.log(rows[self.y].to_numpy(dtype=float))
        design = bound.law.design(rows)
        theta, converged = _search(design, target)
        residual = target - bound.mean(theta, rows)
        flat, _, _, _ = least_squares(design, target)
        squares, without = float(residual @ residual), float(np.sum((target - design @ flat) ** 2))
        helps = squares < without * (1 - NEGLIGIBLE) and theta[-1] > NEGLIGIBLE * np.exp(target.min())
        if not helps:
            theta, residual, squares = np.append(flat, 0.0), target - design @ flat, without
        jacobian = bound.jacobian(theta, rows)[:, : None if helps else -1]
        _, unscaled, condition, status = least_squares(jacobian, target)
        if status is Status.CONVERGED:
            status = Status.AT_BOUND if not helps else Status.CONVERGED if converged else Status.NOT_CONVERGED
        covariance = np.zeros((len(theta), len(theta)))
        free = jacobian.shape[1]
        covariance[:free, :free] = unscaled * squares / (len(target) - free)
        return FitResult(
            law=bound,
            theta=theta,
            covariance=covariance,
            objective=squares / 2,
            squares=squares,
            n=len(rows),
            condition=condition,
            status=status,
            dropped=dropped,
            domain=domain_of(rows, self.predictors),
            r=multiple_r(target - residual, target),
            fixed=() if helps else ("floor",),
            search=f"closed form at {len(FLOORS)} floors, Levenberg–Marquardt from each",
        )


def _search(design: Array, target: Array) -> tuple[Array, bool]:
    """The best coefficients (floor last) that any start leads to, and whether that start settled."""
    starts = []
    for share in FLOORS:
        floor = share * np.exp(target.min())
        inner, _, _, _ = least_squares(design, np.log(np.exp(target) - floor))
        starts.append(np.append(inner, np.log(floor)))
    found = levenberg(floored_model(design), np.array(starts), target, np.ones((len(starts), len(target))))
    best = int(np.nanargmin(found.objective))
    theta = found.theta[best].copy()
    theta[-1] = np.exp(theta[-1])
    return theta, bool(found.converged[best])


def floored_model(design: Array) -> Model:
    """The batch model for `levenberg`, with the logarithm of the floor as the last coefficient."""
    columns = np.ascontiguousarray(design.T)

    def model(theta: Array) -> tuple[Array, Array]:
        power = np.exp(theta[:, :-1] @ columns)
        floor = np.exp(theta[:, -1:])
        total = power + floor
        share = power / total
        jacobian = np.concatenate([share[:, None] * columns[None], (floor / total)[:, None]], axis=1)
        return np.log(total), jacobian

    return model
