"""Laws of the objectives in one grid, beside one another: how their exponents differ, and where they cross.

An objective's networks are the same as another's, so laws differ by what they were trained on. Each law is `scaling`'s;
how an objective is called is the spec's.
"""

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from dit_grid.analysis.fits import Estimate, FitResult
from dit_grid.analysis.laws.scaling import ScalingLaw, law
from dit_grid.analysis.results.frames import (
    NotMeasuredError,
    Results,
    has_several_objectives,
    in_grid_order,
    objective_of,
)
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.model.plurals import counted

REACH = 2.0
"""Powers of ten beyond the models at which lines that all but agree in their slopes are said not to cross."""


@dataclass(frozen=True)
class Contrast:
    """One law against another: `other`'s exponent (or slope) minus `one`'s, and where their lines cross.

    `crossing` is in GMACs, None where lines are parallel, with the 95 % ends `low` and `high`: 0 or infinite where the
    points do not bound that side. `inside` says whether it lies among the points, `decades` by how many powers of ten
    it lies beyond them.
    """

    one: str
    other: str
    difference: Estimate
    crossing: float | None
    low: float
    high: float
    inside: bool
    decades: float


@dataclass(frozen=True)
class Objectives:
    """A law for every objective of a grid, by its words, and every pair's contrast where both have one."""

    metric: str
    laws: dict[str, ScalingLaw]
    contrasts: tuple[Contrast, ...]

    def to_text(self) -> str:
        """A line a law and a line a pair."""
        return "\n".join(_lines(self))

    def table(self) -> pd.DataFrame:
        """The points of every law, a row a model and objective."""
        return in_grid_order(pd.concat([found.points.assign(objective=name) for name, found in self.laws.items()]))


def compare_objectives(results: Results, metric: str) -> Objectives:
    """The laws of `metric` over forward GMACs of each objective, each under its own main protocol, and their contrasts.

    Raises NotMeasuredError where fewer than two objectives have a value.
    """
    words = results.runs.assign(objective=[objective_of(spec) for spec in results.runs["spec"]])
    laws: dict[str, ScalingLaw] = {}
    for name, runs in words.groupby("objective", sort=False):
        own = _only(results, set(runs["run_id"]))
        if (own.evals["metric"] == metric).any():
            laws[str(name) or "not said"] = law(own, metric)
    if len(laws) < 2:
        there = ", ".join(laws) or "none"
        raise NotMeasuredError(
            f"{metric} of two objectives is needed, in one store; {results.where} has it of {there}. A grid over "
            "objectives is experiments/objectives.yaml"
        )
    fitted = [(name, found) for name, found in laws.items() if found.fit is not None]
    pairs = itertools.combinations(fitted, 2)
    return Objectives(metric, laws, tuple(_contrast(*one, *other) for one, other in pairs))


def _only(results: Results, ids: set[str]) -> Results:
    runs, train, evals = (f[f["run_id"].isin(ids)] for f in (results.runs, results.train, results.evals))
    return replace(results, runs=runs, train=train, evals=evals)


def _contrast(name: str, one: ScalingLaw, other_name: str, other: ScalingLaw) -> Contrast:
    first, second = one.fit, other.fit
    assert first is not None
    assert second is not None
    apart, covariance = second.theta - first.theta, first.covariance + second.covariance  # independent points
    t = float(stdtrit(_dof(first, second), 0.975))
    error = float(np.sqrt(covariance[1, 1]))
    difference = Estimate(float(apart[1]), error, float(apart[1] - t * error), float(apart[1] + t * error))
    unit = float(second.law.jacobian(second.theta, pd.DataFrame({"gmacs": [np.e]}))[0, 1])  # of x, per ln GMACs
    crossing, low, high = (_gmacs(x, unit) for x in _crossing(apart, covariance, t))
    both = pd.concat([one.points, other.points])["gmacs"]
    beyond = _decades(crossing, float(both.min()), float(both.max()))
    return Contrast(
        name, other_name, difference, crossing, low or 0.0, np.inf if high is None else high, beyond == 0, beyond
    )


def _decades(x: float | None, low: float, high: float) -> float:
    """How many powers of ten `x` lies outside of low to high; infinite where there is none."""
    if x is None or not 0 < x < np.inf:
        return np.inf
    return max(float(np.log10(low / x)), float(np.log10(x / high)), 0.0)


def _dof(first: FitResult, second: FitResult) -> float:
    """Welch's degrees of freedom of a difference of two slopes (Welch 1947)."""
    one, two = float(first.covariance[1, 1]), float(second.covariance[1, 1])
    total = one**2 / first.dof + two**2 / second.dof
    return (one + two) ** 2 / total if total else float(first.dof + second.dof)


def _crossing(apart: np.ndarray, covariance: np.ndarray, t: float) -> tuple[float | None, float | None, float | None]:
    """Where the line `apart` is zero, and the ends of all x at which it is not told from zero (Fieller 1954)."""
    (a, b), tt = apart, t * t
    if b == 0:
        return None, None, None
    squared = b * b - tt * covariance[1, 1]
    linear = 2 * (a * b - tt * covariance[0, 1])
    constant = a * a - tt * covariance[0, 0]
    root = linear * linear - 4 * squared * constant
    if squared <= 0 or root < 0:  # slopes are not told apart, so neither side is bounded
        return -a / b, None, None
    ends = sorted((-linear + sign * np.sqrt(root)) / (2 * squared) for sign in (-1, 1))
    return -a / b, float(ends[0]), float(ends[1])


def _gmacs(x: float | None, unit: float) -> float | None:
    if x is None:
        return None
    exponent = x / unit
    return float(np.exp(exponent)) if abs(exponent) < 700 else (0.0 if exponent < 0 else np.inf)


def _lines(found: Objectives) -> Iterator[str]:
    yield f"Laws of {metric_named(found.metric).label} ({found.metric}) against GMACs by objective"
    for name, one in found.laws.items():
        if one.fit is None:
            yield f"  {name}: no fit, {counted(len(one.points), 'model')}; {one.setting}"
            continue
        r = f", r {one.correlation.r:.2f}" if one.correlation else ""
        slope, models = _slope(one.fit), counted(one.fit.n, "model")
        yield f"  {name}: {slope} {one.fit.params[slope]}, {models}{r}; {one.setting}"
    for pair in found.contrasts:
        told = "told apart" if pair.difference.low > 0 or pair.difference.high < 0 else "not told apart"
        yield f"  {pair.other} against {pair.one}: exponents differ by {pair.difference}, {told};"
        yield f"    {_crossing_words(pair)}"


def _slope(fit: FitResult) -> str:
    return "exponent" if "exponent" in fit.params else "slope"


def _crossing_words(pair: Contrast) -> str:
    if pair.crossing is None:
        return "lines are parallel"
    if pair.decades > REACH:
        return f"they do not cross within reach, {REACH:g} powers of ten beyond the models"
    where = "among the models" if pair.inside else "outside the models"
    low = f"{pair.low:.3g}" if pair.low > 0 else "no lower end"
    high = f"{pair.high:.3g}" if np.isfinite(pair.high) else "no upper end"
    return f"they cross at {pair.crossing:.3g} GMACs [{low}, {high}], {where}"


def in_words(results: Results, fitted: ScalingLaw) -> str:
    """The law in words; of a grid with several objectives that are measured, one each and what tells them apart."""
    if has_several_objectives(results.runs):
        with suppress(NotMeasuredError):  # of one objective alone so far
            return compare_objectives(results, fitted.metric).to_text()
    return str(fitted)
