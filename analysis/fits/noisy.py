"""Fits when the noise of single points is known beforehand: from seeds, or from what reruns elsewhere differ by.

What is here adds to `linear` what it cannot know from one value a model. A point's variance is that of the models about
the law, estimated, plus that of the measurement, given; the fit is never surer than the noise allows.
"""

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from dit_grid.analysis.fits.linear import LinearLaw, least_squares
from dit_grid.analysis.fits.result import Array, FitResult
from dit_grid.analysis.fits.rows import domain_of, multiple_r, require, usable

RERUN_NOISE = 0.10
"""A prior for ln FID of one run: the paper's own reruns differ by 0.3 to 1.4 FID (0.1 to 7 %), reimplementations of it
by 8 to 16 % (facebookresearch/DiT issues 21 and 122)."""


def seed_noise(rows: pd.DataFrame, y: str = "value", model: str = "model") -> tuple[float, int]:
    """The standard deviation of ln y between seeds of one model, pooled over models, and its degrees of freedom.

    (NaN, 0) where no model has two seeds.
    """
    logs = np.log(rows[y].to_numpy(dtype=float))
    groups = rows[model].to_numpy()
    means = pd.Series(logs).groupby(groups).transform("mean").to_numpy()
    dof = len(rows) - len(set(groups))
    return (float(np.sqrt(np.sum((logs - means) ** 2) / dof)), dof) if dof else (float("nan"), 0)


def fit_with_noise(law: LinearLaw, frame: pd.DataFrame, noise: "float | pd.Series" = RERUN_NOISE) -> FitResult:
    """The fit of a linear law with `noise`, the known SD of each point (of ln y where the law fits ln y).

    Weights are 1/(σ² + noise²), where σ, the scatter of models about the law, is what makes the weighted squares equal
    their degrees of freedom, but not below 0 (Paule & Mandel 1982; intervals after Knapp & Hartung 2003). So points
    that happen to lie on the line do not give an interval narrower than their noise. Intervals count the effective
    points, (Σw)² / Σw² (Kish 1965): few points of little noise do not make many degrees of freedom. `squares` of the
    result are unweighted; `predict` is for one new run with the median noise.

    Raises:
        CannotFitError: a column is missing, or there are no more points than coefficients.
        ValueError: a noise that is negative or not finite.
    """
    columns = (*law.predictors, law.y)
    rows, dropped = usable(frame, columns, positive=columns if law.log_y else law.predictors)
    law = law.bound_to(rows)
    require(len(rows), len(law.coefficients()), law.name, dropped)
    tau = np.broadcast_to(
        np.asarray(noise if np.isscalar(noise) else pd.Series(noise).loc[rows.index]), len(rows)
    ).astype(float)
    if not np.isfinite(tau).all() or (tau < 0).any():
        raise ValueError(f"noise must be standard deviations, finite and not negative; got {noise}")
    observed = rows[law.y].to_numpy(dtype=float)
    target = np.log(observed) if law.log_y else observed
    design = law.design(rows)
    scatter = _scatter(design, target, tau)
    weight = 1 / (scatter**2 + tau**2) if (scatter > 0 or (tau > 0).all()) else np.ones(len(rows))
    root = np.sqrt(weight)
    theta, covariance, condition, status = least_squares(design * root[:, None], target * root)
    dof = len(target) - len(theta)
    misfit = float(np.sum(weight * (target - design @ theta) ** 2)) / dof
    squares = float(np.sum((target - design @ theta) ** 2))
    return FitResult(
        law=law,
        theta=theta,
        covariance=covariance * max(1.0, misfit),
        objective=misfit * dof / 2,
        squares=squares,
        n=len(target),
        condition=condition,
        status=status,
        dropped=dropped,
        domain=domain_of(rows, law.predictors),
        r=multiple_r(design @ theta, target),
        search=f"closed form, weighted; scatter of models {scatter:.3g}, given noise {np.median(tau):.3g} (median)",
        noise=float(np.sqrt(scatter**2 + np.median(tau) ** 2)),
        t_dof=max(1, round(float(weight.sum() ** 2 / np.sum(weight**2))) - len(theta)),
    )


def _scatter(design: Array, target: Array, tau: Array) -> float:
    """σ ≥ 0 at which the weighted squares of the residuals equal their degrees of freedom."""
    dof = len(target) - design.shape[1]

    def excess(variance: float) -> float:
        root = 1 / np.sqrt(variance + tau**2)
        theta, _, _, _ = least_squares(design * root[:, None], target * root)
        return float(np.sum(((target - design @ theta) * root) ** 2)) - dof

    plain, _, _, _ = least_squares(design, target)
    top = 4 * float(np.sum((target - design @ plain) ** 2)) / dof
    tiny = 1e-12 * top + 1e-300
    if top == 0 or excess(tiny) <= 0:
        return 0.0
    return float(np.sqrt(brentq(excess, tiny, top + 4 * float(np.max(tau)) ** 2)))


def points_noise(points: pd.DataFrame, single: float = RERUN_NOISE) -> pd.Series:
    """The noise of each point of a law: that of a single run over the root of its seeds."""
    return single / np.sqrt(points["seeds"])
