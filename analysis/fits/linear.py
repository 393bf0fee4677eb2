"""Laws that are linear in their coefficients, fitted in closed form by least squares.

What is here: the paper's straight line in log compute, the power law, the quadratic, one power law per group, and
parameters and tokens with their interaction. Laws with a floor or a sum of powers need a search: `powers`.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from dit_grid.analysis.fits.result import Array, Dropped, FitResult, Status
from dit_grid.analysis.fits.rows import CannotFitError, domain_of, listed, multiple_r, require, usable

CONDITION_LIMIT = 1e8
"""Above it, half of float64's sixteen digits are gone from the coefficients."""


class LinearLaw:
    """What every linear law shares. A law states its predictors, coefficients, design matrix and equation."""

    y: str
    log_y: bool = True
    title: ClassVar[str] = "linear law"

    @property
    def name(self) -> str:
        """The law's name in tables."""
        return self.title

    @property
    def predictors(self) -> tuple[str, ...]:
        """The columns that the law needs; all enter as logarithms, so all must be positive."""
        raise NotImplementedError

    def coefficients(self) -> tuple[str, ...]:
        """The names of the coefficients, in the order of the design's columns."""
        raise NotImplementedError

    def units(self) -> tuple[str, ...]:
        """The unit of each coefficient; exponents are pure numbers."""
        return tuple(f"ln {self.y}" if "scale" in name else "" for name in self.coefficients())

    def design(self, frame: pd.DataFrame) -> Array:
        """The design matrix, (rows, coefficients)."""
        raise NotImplementedError

    def equation(self, theta: Array) -> str:
        """The law with numbers in it, for people."""
        raise NotImplementedError

    def bound_to(self, frame: pd.DataFrame) -> Self:
        """The law with the settings that it takes from the data (a centre, the groups) filled in."""
        return self

    def mean(self, theta: Array, frame: pd.DataFrame) -> Array:
        """The law at each row, in ln y where `log_y`."""
        return self.design(frame) @ theta

    def jacobian(self, theta: Array, frame: pd.DataFrame) -> Array:
        """The derivative of `mean` in the coefficients; for a linear law the design itself."""
        return self.design(frame)

    def fit(self, frame: pd.DataFrame) -> FitResult:
        """The least-squares fit to the usable rows of `frame`.

        Raises:
            CannotFitError: a column is missing, or there are no more points than coefficients.
        """
        logged = (*self.predictors, self.y) if self.log_y else self.predictors
        rows, dropped = usable(frame, (*self.predictors, self.y), positive=logged)
        if rows.empty:
            raise CannotFitError(f"{self.name}: no usable point{listed(dropped)}")
        law = self.bound_to(rows)
        require(len(rows), len(law.coefficients()), law.name, dropped)
        observed = rows[law.y].to_numpy(dtype=float)
        return _solve(law, rows, np.log(observed) if law.log_y else observed, dropped)


def _solve(law: LinearLaw, rows: pd.DataFrame, target: Array, dropped: tuple[Dropped, ...]) -> FitResult:
    design = law.design(rows)
    theta, covariance, condition, status = least_squares(design, target)
    fitted = design @ theta
    squares = float(np.sum((target - fitted) ** 2))
    return FitResult(
        law=law,
        theta=theta,
        covariance=covariance * squares / (len(target) - len(theta)),
        objective=squares / 2,
        squares=squares,
        n=len(target),
        condition=condition,
        status=status,
        dropped=dropped,
        domain=domain_of(rows, law.predictors),
        r=multiple_r(fitted, target),
    )


def least_squares(design: Array, target: Array) -> tuple[Array, Array, float, Status]:
    """Coefficients, unscaled covariance (AᵀA)⁻¹, condition of the column-scaled design, and status.

    A design without full rank gives the shortest solution, NaN covariance and NOT_IDENTIFIABLE.
    """
    scale = np.linalg.norm(design, axis=0)
    scale[scale == 0] = 1.0
    u, s, vt = np.linalg.svd(design / scale, full_matrices=False)
    rank = int(np.sum(s > s[0] * len(target) * np.finfo(float).eps))
    theta = (vt[:rank].T @ ((u[:, :rank].T @ target) / s[:rank])) / scale
    if rank < len(s):
        return theta, np.full((len(s), len(s)), np.nan), np.inf, Status.NOT_IDENTIFIABLE
    root = (vt.T / s) / scale[:, None]
    condition = float(s[0] / s[-1])
    status = Status.CONVERGED if condition < CONDITION_LIMIT else Status.ILL_CONDITIONED
    return theta, root @ root.T, condition, status


def _log(frame: pd.DataFrame, column: str) -> Array:
    return np.log(frame[column].to_numpy(dtype=float))


def signed(value: float) -> str:
    """A coefficient as a term of a sum: its sign by itself, as in a − b."""
    return f"{'−' if value < 0 else '+'} {abs(value):.4g}"


@dataclass(frozen=True)
class LogLinear(LinearLaw):
    """y = c + s·log10 x: the straight line of the paper's Figure 8."""

    x: str = "gmacs"
    y: str = "value"
    log_y: bool = False
    title: ClassVar[str] = "line in log x"

    @property
    def predictors(self) -> tuple[str, ...]:
        return (self.x,)

    def coefficients(self) -> tuple[str, ...]:
        return ("intercept", "slope")

    def units(self) -> tuple[str, ...]:
        return (self.y, f"{self.y} per tenfold {self.x}")

    def design(self, frame: pd.DataFrame) -> Array:
        return np.column_stack([np.ones(len(frame)), _log(frame, self.x) / np.log(10)])

    def equation(self, theta: Array) -> str:
        return f"{self.y} = {theta[0]:.4g} {signed(theta[1])}·log10({self.x})"


@dataclass(frozen=True)
class PowerLaw(LinearLaw):
    """y = a·x^b, fitted as ln y = ln a + b·ln x; `exponent` is b, negative where y falls with x."""

    x: str = "gmacs"
    y: str = "value"
    title: ClassVar[str] = "power law"

    @property
    def predictors(self) -> tuple[str, ...]:
        return (self.x,)

    def coefficients(self) -> tuple[str, ...]:
        return ("ln_scale", "exponent")

    def design(self, frame: pd.DataFrame) -> Array:
        return np.column_stack([np.ones(len(frame)), _log(frame, self.x)])

    def equation(self, theta: Array) -> str:
        return f"{self.y} = {np.exp(theta[0]):.4g}·{self.x}^{theta[1]:.4f}"


@dataclass(frozen=True)
class Quadratic(LinearLaw):
    """ln y = c + s·ln x + q·(ln x)²: a power law whose exponent drifts with x. Extrapolates badly; use for shape."""

    x: str = "gmacs"
    y: str = "value"
    title: ClassVar[str] = "quadratic in ln x"

    @property
    def predictors(self) -> tuple[str, ...]:
        return (self.x,)

    def coefficients(self) -> tuple[str, ...]:
        return ("ln_scale", "exponent", "curvature")

    def design(self, frame: pd.DataFrame) -> Array:
        return np.vander(_log(frame, self.x), 3, increasing=True)

    def equation(self, theta: Array) -> str:
        return f"ln {self.y} = {theta[0]:.4g} {signed(theta[1])}·ln {self.x} {signed(theta[2])}·(ln {self.x})²"


@dataclass(frozen=True)
class PerGroup(LinearLaw):
    """One power law in `x` for each value of `group` (patch size), with one common scatter.

    `groups` are those of the data when left empty; predicting for another one is a CannotFitError.
    """

    x: str = "gmacs"
    y: str = "value"
    group: str = "patch"
    groups: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return f"power law per {self.group}"

    @property
    def predictors(self) -> tuple[str, ...]:
        return (self.x, self.group)

    def bound_to(self, frame: pd.DataFrame) -> Self:
        return self if self.groups else replace(self, groups=tuple(sorted(map(int, set(frame[self.group])))))

    def coefficients(self) -> tuple[str, ...]:
        return tuple(f"{name}[{g}]" for g in self.groups for name in ("ln_scale", "exponent"))

    def design(self, frame: pd.DataFrame) -> Array:
        unknown = set(frame[self.group]) - set(self.groups)
        if unknown:
            raise CannotFitError(
                f"no law for {self.group} {sorted(unknown)}; fitted: {', '.join(map(str, self.groups))}"
            )
        member = frame[self.group].to_numpy()[:, None] == np.array(self.groups)
        return np.stack([member, member * _log(frame, self.x)[:, None]], axis=2).reshape(len(frame), -1)

    def equation(self, theta: Array) -> str:
        laws = zip(self.groups, theta.reshape(-1, 2), strict=True)
        return "; ".join(f"{self.group} {g}: {np.exp(c):.4g}·{self.x}^{b:.4f}" for g, (c, b) in laws)


@dataclass(frozen=True)
class ParamsTokens(LinearLaw):
    """ln y = c + a·n + b·t [+ g·n·t], with n = ln params and t = ln tokens, each minus its `centre`.

    With `interaction` the exponent of parameters is a + g·t: it grows with the number of tokens a model sees. The
    centre is the mean of the data unless given, so that a and b are the exponents in the middle of the grid.
    With `curved`, (n)² enters too.
    """

    params: str = "params"
    tokens: str = "tokens"
    y: str = "value"
    interaction: bool = True
    curved: bool = False
    centre: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        return "params × tokens" + (", curved" if self.curved else "") if self.interaction else "params and tokens"

    @property
    def predictors(self) -> tuple[str, ...]:
        return (self.params, self.tokens)

    def bound_to(self, frame: pd.DataFrame) -> Self:
        if self.centre is not None:
            return self
        centre = (float(_log(frame, self.params).mean()), float(_log(frame, self.tokens).mean()))
        return replace(self, centre=centre)

    def coefficients(self) -> tuple[str, ...]:
        extra = (("interaction", self.interaction), ("params_curvature", self.curved))
        return ("ln_scale", "params_exponent", "tokens_exponent", *(name for name, on in extra if on))

    def design(self, frame: pd.DataFrame) -> Array:
        n, t = (_log(frame, c) - m for c, m in zip(self.predictors, self.centre or (0.0, 0.0), strict=True))
        columns = [np.ones(len(frame)), n, t]
        columns += [n * t] if self.interaction else []
        columns += [n**2] if self.curved else []
        return np.column_stack(columns)

    def equation(self, theta: Array) -> str:
        terms = ("", "·n", "·t", *(["·n·t"] if self.interaction else []), *(["·n²"] if self.curved else []))
        body = " ".join(f"{signed(value)}{term}" for value, term in zip(theta, terms, strict=True))
        mn, mt = self.centre or (0.0, 0.0)
        return (
            f"ln {self.y} = {body.removeprefix('+ ')}, n = ln {self.params} − {mn:.4f}, t = ln {self.tokens} − {mt:.4f}"
        )
