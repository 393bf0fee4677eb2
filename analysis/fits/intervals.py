"""Prediction intervals that fit the number of points: Student's t up to twenty, beyond a bootstrap with residuals.

What is here chooses and resamples; `FitResult.predict` is the t interval itself.
"""

import numpy as np
import pandas as pd

from dit_grid.analysis.fits.resampling import bootstrap
from dit_grid.analysis.fits.result import FitResult
from dit_grid.analysis.fits.rows import usable

FEW = 20
"""Up to so many points the t interval: resamples of few points are degenerate, their intervals too short."""


def prediction_interval(
    fit: FitResult, frame: pd.DataFrame, at: pd.DataFrame, level: float = 0.95, replicates: int = 4000, seed: int = 0
) -> pd.DataFrame:
    """The columns of `FitResult.predict` and `method`, for one new measurement at each row of `at`.

    `frame` is what the fit was made from. With more than FEW points, low and high are quantiles of refits to resampled
    rows plus a residual drawn at random and widened by √(n / dof), so that neither normal residuals nor a linear law
    are assumed.
    """
    by_t = fit.predict(at, level)
    if fit.n <= FEW:
        return by_t.assign(method=f"t, {fit.dof} degrees of freedom")
    law = fit.law
    logged = (*law.predictors, law.y) if law.log_y else law.predictors
    rows, _ = usable(frame, (*law.predictors, law.y), positive=logged)
    target = rows[law.y].to_numpy(dtype=float)
    residual = (np.log(target) if law.log_y else target) - law.mean(fit.theta, rows)
    residual = (residual - residual.mean()) * np.sqrt(fit.n / fit.dof)
    samples = bootstrap(fit, frame, replicates, seed).samples.to_numpy()
    means = np.stack([law.mean(theta, at) for theta in samples])
    drawn = means + np.random.default_rng(seed + 1).choice(residual, means.shape)
    ends = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    low, high = np.exp(ends) if law.log_y else ends
    return by_t.assign(low=low, high=high, method=f"bootstrap of {len(samples)} refits, with residuals")
