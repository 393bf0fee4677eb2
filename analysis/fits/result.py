"""What a fit returns: coefficients with intervals, objective, what was dropped and why, and a status to be believed.

Shared by all laws, prediction intervals included. How coefficients are found is `linear` and `powers`.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from html import escape
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit  # scipy.stats has it too, and takes a second to import

Array = NDArray[np.float64]


class Status(StrEnum):
    """How far a fit can be believed; only CONVERGED says that every coefficient was determined by the data."""

    CONVERGED = "converged"
    AT_BOUND = "at bound"
    ILL_CONDITIONED = "ill-conditioned"
    NOT_IDENTIFIABLE = "not identifiable"
    NOT_CONVERGED = "not converged"


@dataclass(frozen=True)
class Dropped:
    """A row that the fit left out: its label in the frame, and why."""

    row: object
    reason: str


@dataclass(frozen=True)
class Estimate:
    """A coefficient: value, standard error and the ends of its 95 % t-interval. NaN errors: not determined."""

    value: float
    se: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def _shown(fit: "FitResult", name: str) -> str:
    return "at its bound, not determined" if name in fit.fixed else escape(str(fit.params[name]))


class Law(Protocol):
    """The settings of a fit. `mean` and `jacobian` are of ln y where `log_y`, else of y."""

    @property
    def name(self) -> str: ...
    @property
    def y(self) -> str: ...
    @property
    def log_y(self) -> bool: ...
    @property
    def predictors(self) -> tuple[str, ...]: ...
    def coefficients(self) -> tuple[str, ...]: ...
    def units(self) -> tuple[str, ...]: ...
    def mean(self, theta: Array, frame: pd.DataFrame) -> Array: ...
    def jacobian(self, theta: Array, frame: pd.DataFrame) -> Array: ...
    def equation(self, theta: Array) -> str: ...


@dataclass(frozen=True)
class FitResult:
    """A fitted law.

    `covariance` is of the coefficients, `squares` the sum of squared residuals (of ln y where the law fits ln y),
    `objective` what was minimised (half of `squares`, or Huber's loss). `condition` is that of the scaled Jacobian.
    `domain` is the range of each predictor in the data, so that `predict` can say how far it extrapolates. `fixed`
    names coefficients held at a bound: they are no findings. `search` says how the optimum was looked for, `noise` the
    standard deviation that was taken as known (see `noisy`), and `t_dof` the degrees of freedom of its intervals.
    """

    law: Law
    theta: Array
    covariance: Array
    objective: float
    squares: float
    n: int
    condition: float
    status: Status
    dropped: tuple[Dropped, ...]
    domain: dict[str, tuple[float, float]]
    r: float
    fixed: tuple[str, ...] = ()
    search: str = "closed form; no start is needed"
    noise: float | None = None
    t_dof: int | None = None

    @property
    def units(self) -> dict[str, str]:
        """The unit of each coefficient, in those of the columns; empty for a pure number."""
        return dict(zip(self.law.coefficients(), self.law.units(), strict=True))

    @property
    def dof(self) -> int:
        """Points minus coefficients that the data determined (those held at a bound do not count)."""
        return self.n - len(self.theta) + len(self.fixed)

    @property
    def sigma(self) -> float:
        """Residual standard deviation, of ln y where the law fits ln y."""
        return float(np.sqrt(self.squares / self.dof))

    @property
    def rms(self) -> float:
        """Root mean square residual, without correction for the number of coefficients."""
        return float(np.sqrt(self.squares / self.n))

    @cached_property
    def params(self) -> dict[str, Estimate]:
        """Each coefficient with its standard error and 95 % t-interval."""
        t = stdtrit(self.t_dof or self.dof, 0.975)
        errors = np.sqrt(np.diag(self.covariance))
        named = zip(self.law.coefficients(), self.theta, errors, strict=True)
        return {name: Estimate(float(v), float(e), float(v - t * e), float(v + t * e)) for name, v, e in named}

    def predict(self, at: "pd.DataFrame | Array | float", interval: float = 0.95) -> pd.DataFrame:
        """Predicted y at each row of `at`: `mean`, `low` and `high` of a new single measurement, `extrapolation`.

        The interval is Student's t with the fit's degrees of freedom, of residual scatter and coefficient error
        together; in ln y where the law fits ln y, so its ends stay positive. `extrapolation` is how far the farthest
        predictor lies outside the data, as a factor (1: inside). An array stands for the only predictor.
        """
        frame = self._as_frame(at)
        return pd.DataFrame(self.predicted(frame, interval), index=frame.index)

    def predicted(self, frame: pd.DataFrame, interval: float = 0.95) -> dict[str, Array]:
        """The columns of `predict` as arrays."""
        mean, jac = self.law.mean(self.theta, frame), self.law.jacobian(self.theta, frame)
        single = self.sigma**2 if self.noise is None else max(self.sigma, self.noise) ** 2
        spread = np.sqrt(single + np.einsum("ni,ij,nj->n", jac, np.nan_to_num(self.covariance), jac))
        half = stdtrit(self.t_dof or self.dof, 0.5 + interval / 2) * spread
        ends = {"mean": mean, "low": mean - half, "high": mean + half}
        told = {k: np.exp(v) if self.law.log_y else v for k, v in ends.items()}
        return told | {"extrapolation": self._extrapolation(frame)}

    def __str__(self) -> str:
        return f"{self.law.equation(self.theta)}  (n={self.n}, RMS {self.rms:.3g}, {self.status})"

    def report(self) -> str:
        """What a reader needs to refit: law, coefficients, objective, points and those dropped, and how sure it is."""
        fitted = f"ln {self.law.y}" if self.law.log_y else self.law.y
        return "\n".join(
            [
                f"{self.law.name}: {self.law.equation(self.theta)}",
                *(self._coefficient(name) for name in self.params),
                f"  residuals of {fitted}: RMS {self.rms:.4g}, SD {self.sigma:.4g}",
                f"  {self._loss()} {self.objective:.8g}",
                f"  {self.n} points, {self.dof} degrees of freedom; condition {self.condition:.3g}; {self.status}",
                f"  search: {self.search}",
                *(f"  dropped row {d.row}: {d.reason}" for d in self.dropped),
            ]
        )

    def _loss(self) -> str:
        """The name of what was minimised: two fits of one law agree only under one loss and threshold."""
        delta = getattr(self.law, "delta", None)
        return "objective (half the squares)" if delta is None else f"objective (Huber, threshold {delta:g})"

    def _coefficient(self, name: str) -> str:
        if name in self.fixed:
            return f"  {name}: at its bound, not determined by these points"
        unit = f" {self.units[name]}" if self.units[name] else ""
        return f"  {name} = {self.params[name]}{unit}"

    def _repr_html_(self) -> str:
        """What Jupyter shows: the law, a table of coefficients, and how sure it is."""
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{_shown(self, name)}</td><td>{escape(self.units[name])}</td></tr>"
            for name in self.params
        )
        dropped = "; ".join(f"row {d.row}: {d.reason}" for d in self.dropped) or "nothing"
        return (
            f"<b>{escape(self.law.name)}</b>: {escape(self.law.equation(self.theta))}"
            f"<table><tr><th>coefficient</th><th>value [95 %]</th><th>unit</th></tr>{rows}</table>"
            f"{self.n} points, residual SD {self.sigma:.3g}, condition {self.condition:.3g}, {escape(self.status)}; "
            f"dropped: {escape(dropped)}"
        )

    def _as_frame(self, at: "pd.DataFrame | Array | float") -> pd.DataFrame:
        if isinstance(at, pd.DataFrame):
            return at
        if len(self.law.predictors) != 1:
            raise ValueError(f"{self.law.name} needs the columns {', '.join(self.law.predictors)}: pass a DataFrame")
        return pd.DataFrame({self.law.predictors[0]: np.atleast_1d(np.asarray(at, dtype=float))})

    def _extrapolation(self, frame: pd.DataFrame) -> Array:
        factor = np.ones(len(frame))
        for column, (low, high) in self.domain.items():
            at = frame[column].to_numpy(dtype=float)
            factor = np.maximum(factor, np.maximum(at / high, low / at))
        return factor
