"""Which run to buy next: how much each one is expected to narrow the interval of a target, before it is run.

The variance of a target g(θ) after runs with rows x_i of the law's Jacobian is gᵀM⁻¹g, M = Σ x_i x_iᵀ / v_i: exactly in
a linear law, at the present θ in others, and whatever the runs will find. Over several models it is the mean of theirs
(V-optimal; Atkinson, Donev & Tobias 2007, chapter 10). The design that makes it small is c-optimal
(Elfving 1952; Silvey 1980, Optimal Design; for the next single run MacKay 1992, Neural Computation 4:590; Cohn 1996).
v_i is the law's misfit, which only more models average out, plus the seeds' noise over the number of seeds. Prices, and
what can be launched, are not known here.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from dit_grid.analysis.fits import FitResult
from dit_grid.analysis.fits.result import Array
from dit_grid.analysis.forecasting.candidates import named_models
from dit_grid.analysis.forecasting.prediction import forecast
from dit_grid.analysis.forecasting.target import COEFFICIENTS, FORECAST_FORMS, Target
from dit_grid.analysis.laws.scaling import law
from dit_grid.analysis.results.families import largest_family, specs_of
from dit_grid.analysis.results.frames import Results, final_rows

FID_SEED_SD = 0.015
"""Relative standard deviation of FID-50K over training seeds: 1 to 2 % over several hundred SiT networks on ImageNet at
256 px (Dufour, Efros & Pérez 2026, arXiv 2606.20536)."""

RETRAINED_OVER_RESAMPLED = 3.2
"""By this factor FID moves more between trainings than between samples of one network (same source, 50,000 samples)."""

ASSUMED_SEED_SD = 0.05
"""The same of a metric for which nothing is published; counts as ASSUMED_DOF pairs of seeds beside measured ones."""

ASSUMED_DOF = 2

WORTH = 0.01
"""A run that is expected to narrow the interval by less than this share of it is not bought, however cheap."""

NEW_MODEL, ANOTHER_SEED, MORE_SAMPLES = "new model", "another seed", "more samples"


@dataclass(frozen=True)
class Noise:
    """Standard deviations of ln y at one seed: `misfit` of a model from the law, `seeds` between seeds of one model,
    and `sampling`, the part of `seeds` that a larger sample would average out. `source` says where `seeds` is from.
    """

    misfit: float
    seeds: float
    sampling: float
    source: str

    def variance(self, seeds: Array | float) -> Array:
        """The variance of a model's mean over so many seeds about the law."""
        return np.asarray(self.misfit**2 + self.seeds**2 / np.asarray(seeds, dtype=float))

    def with_samples(self, factor: float) -> "Noise":
        """The noise where every evaluation has `factor` times the samples."""
        gone = self.sampling**2 * (1 - 1 / factor)
        return replace(self, seeds=np.sqrt(self.seeds**2 - gone), sampling=self.sampling / np.sqrt(factor))


@dataclass(frozen=True)
class Design:
    """A target, the law that it belongs to, and the models measured so far: `points` has predictors and `seeds`.

    `at` has the models to forecast (a row each; of many the mean squared error counts), None where the target is a
    coefficient.
    """

    target: Target
    fit: FitResult
    points: pd.DataFrame
    noise: Noise
    at: pd.DataFrame | None = None

    @cached_property
    def half_width(self) -> float:
        """Expected half of the target's 95 % t-interval, in its own unit (`Target.width`); infinite if unknown."""
        law, theta = self.fit.law, self.fit.theta
        rows = law.jacobian(theta, self.points) / np.sqrt(self.noise.variance(self.points["seeds"].to_numpy()))[:, None]
        dof = len(rows) - rows.shape[1]
        if dof < 1 or np.linalg.matrix_rank(rows) < rows.shape[1]:
            return float("inf")
        inverse = np.linalg.inv(np.linalg.qr(rows, mode="r"))
        spread = float(np.sum((self._gradient() @ inverse) ** 2, axis=1).mean())
        if self.at is not None:
            spread += float(self.noise.variance(1))
        return self._in_unit(float(stdtrit(dof, 0.975)) * np.sqrt(spread))

    def after(self, kind: str, model: pd.DataFrame | None = None, samples_factor: float = 4.0) -> "Design":
        """The design once a candidate has been run: a new model or another seed (one row), or more samples of all."""
        if kind == MORE_SAMPLES:
            return replace(self, noise=self.noise.with_samples(samples_factor))
        assert model is not None
        if kind == ANOTHER_SEED:
            same = self.points["model"].isin(model["model"])
            return replace(self, points=self.points.assign(seeds=self.points["seeds"] + same))
        row = model[["model", *self.fit.law.predictors]].assign(seeds=1)
        return replace(self, points=pd.concat([self.points, row], ignore_index=True))

    def _gradient(self) -> Array:
        if self.at is not None:
            return self.fit.law.jacobian(self.fit.theta, self.at)
        return np.array([[name == self.target.what for name in self.fit.law.coefficients()]], dtype=float)

    def _in_unit(self, half: float) -> float:
        if self.at is None:
            return half
        value = float(np.exp(self.fit.law.mean(self.fit.theta, self.at)[0]))
        return float(np.expm1(half)) if self.target.relative else value * float(np.sinh(half))


def design_for(results: Results, target: Target, metric: str, region: pd.DataFrame | None = None) -> Design:
    """The design of what the results hold, with the law that the target belongs to or that forecasts best.

    `region` has the models of the target REGION, with the columns of `results.runs`.

    Raises:
        CannotFitError: too few models for the law and its scatter. NotMeasuredError, UnknownModelError.
    """
    at = named_models([target.model], results) if target.model else region
    points = law(results, metric).points
    if at is not None:
        points = points[~points["model"].isin(at["model"])].reset_index(drop=True)
        fit = forecast(results, at, metric, FORECAST_FORMS).fit
    else:
        fit = COEFFICIENTS[target.what].fit(points)
    noise = noise_of(results, metric, fit, points)
    return Design(target, fit, points[["model", "seeds", *fit.law.predictors]], noise, at)


def noise_of(results: Results, metric: str, fit: FitResult, points: pd.DataFrame) -> Noise:
    """The noise about a fit: seeds from replicates where there are any, and what is assumed of the metric."""
    squares, dof = _between_seeds(results, metric)
    assumed = FID_SEED_SD if metric == "fid" else ASSUMED_SEED_SD
    seeds = float(np.sqrt((squares + ASSUMED_DOF * assumed**2) / (dof + ASSUMED_DOF)))
    told = "arXiv 2606.20536" if metric == "fid" else "assumed"
    source = f"{dof + len(points)} runs and {assumed:.1%} ({told})" if dof else f"{told}; no model has two seeds"
    misfit = np.sqrt(max(fit.sigma**2 - seeds**2 * float((1 / points["seeds"]).mean()), 0.0))
    samples = final_rows(results, metric)["samples"].median()
    sampling = (
        min(FID_SEED_SD / RETRAINED_OVER_RESAMPLED * np.sqrt(50_000 / samples), seeds) if metric == "fid" else 0.0
    )
    return Noise(float(misfit), seeds, float(sampling), source)


def _between_seeds(results: Results, metric: str) -> tuple[float, int]:
    """Sum of squares of ln y about the mean of each model (of each value that it was swept over), and its freedom."""
    rows, _ = largest_family(final_rows(results, metric), specs_of(results))
    rows = rows[rows["value"] > 0]
    logs = rows.assign(log=np.log(rows["value"])).groupby(["model", "setting"])["log"]
    return float((logs.var(ddof=0).fillna(0.0) * logs.size()).sum()), int((logs.size() - 1).sum())


def rank(design: Design, candidates: pd.DataFrame) -> pd.DataFrame:
    """The candidates with what each alone is expected to do, best per cost first.

    `candidates` has `kind`, `cost`, the columns of the law's predictors and `model`; `samples_factor` where a kind is
    MORE_SAMPLES. Added: `width_after`, `narrows` (by how much), and `per_cost`.
    """
    if candidates.empty:
        return candidates.assign(width_after=[], narrows=[], per_cost=[])
    now = design.half_width
    after = [_after(design, candidates.iloc[[k]]).half_width for k in range(len(candidates))]
    table = candidates.assign(width_after=after)
    table["narrows"] = np.where(np.isfinite(table["width_after"]), now - table["width_after"], 0.0)
    table["per_cost"] = table["narrows"] / table["cost"]
    return table.sort_values(["per_cost", "cost"], ascending=[False, True], kind="stable").reset_index(drop=True)


def choose(design: Design, candidates: pd.DataFrame, budget: float) -> tuple[list[int], Design]:
    """Row numbers of the candidates to buy within the budget, in order, and the design once they are run.

    Greedy by expected narrowing per cost, each choice reckoned after the ones before, or the best single candidate
    where that narrows more (Khuller, Moss & Naor 1999). Optimal for neither, but never worse than both.
    """
    greedy, reached = _greedy(design, candidates, budget)
    affordable = [k for k in range(len(candidates)) if candidates["cost"].iloc[k] <= budget]
    singles = [(_after(design, candidates.iloc[[k]]).half_width, k) for k in affordable]
    if singles and min(singles)[0] < reached.half_width and is_worth(design.half_width, min(singles)[0]):
        best = min(singles)[1]
        return [best], _after(design, candidates.iloc[[best]])
    return greedy, reached


def best_for_its_price(design: Design, candidates: pd.DataFrame) -> tuple[list[int], Design]:
    """The row number of the one that is worth it and narrows most for its cost, and the design with it; or none."""
    after = [_after(design, candidates.iloc[[k]]) for k in range(len(candidates))]
    now = design.half_width
    gains = {
        k: (_gain(now, one.half_width) / candidates["cost"].iloc[k], -candidates["cost"].iloc[k])
        for k, one in enumerate(after) if is_worth(now, one.half_width)
    }  # fmt: skip
    if not gains:
        return [], design
    best = max(gains, key=gains.__getitem__)
    return [best], after[best]


def needed_for(design: Design, candidates: pd.DataFrame, width: float) -> list[int] | None:
    """Row numbers of the candidates, in the order of `choose`, until the interval's half is `width`; None if never."""
    chosen, _ = choose(design, candidates, float("inf"))
    for count, place in enumerate(chosen, 1):
        design = _after(design, candidates.iloc[[place]])
        if design.half_width <= width:
            return chosen[:count]
    return None


def is_worth(now: float, after: float) -> bool:
    """Whether an interval of half-width `now` becomes narrower by the share WORTH, or known at all."""
    return bool(np.isfinite(after) and (np.isinf(now) or now - after > WORTH * now))


def _greedy(design: Design, candidates: pd.DataFrame, budget: float) -> tuple[list[int], Design]:
    chosen: list[int] = []
    left = dict(enumerate(candidates["cost"]))
    while left := {k: cost for k, cost in left.items() if cost <= budget}:
        after = {k: _after(design, candidates.iloc[[k]]) for k in left}
        now = design.half_width
        gains = {k: _gain(now, after[k].half_width) for k in left if is_worth(now, after[k].half_width)}
        if not gains:
            break
        best = max(gains, key=lambda k: (gains[k] / left[k], -left[k]))
        chosen.append(best)
        design, budget = after[best], budget - left.pop(best)
    return chosen, design


def _gain(now: float, after: float) -> float:
    """How much narrower; from nothing known to something known counts as endlessly much."""
    return float("inf") if np.isinf(now) else now - after


def _after(design: Design, row: pd.DataFrame) -> Design:
    factor = float(row["samples_factor"].iloc[0]) if "samples_factor" in row else 4.0
    return design.after(str(row["kind"].iloc[0]), row, factor)
