"""FID's bias with the number of samples: the value at infinitely many, and a warning where numbers differ.

A Fréchet distance from N samples is too large by about b / N, with a b of each model's own (Chong & Forsyth 2020), so
values at different N cannot be compared. What is here corrects where a checkpoint was measured at several N.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dit_grid.analysis.fits import CannotFitError
from dit_grid.analysis.fits.linear import least_squares

DISTANCES = ("fid", "sfid", "fd", "fd_conv", "fd_classifier")
"""Metrics that carry the bias."""

INCEPTION = ("fid", "sfid")
"""Those that are published, and by custom from 50,000 samples."""


@dataclass(frozen=True)
class Unbiased:
    """The distance at infinitely many samples, its standard error (NaN with two sizes), and the slope b of b / N."""

    value: float
    se: float
    bias: float
    samples: tuple[int, ...]

    def at(self, samples: float) -> float:
        """The distance to expect from so many samples."""
        return self.value + self.bias / samples


def without_bias(rows: pd.DataFrame) -> Unbiased:
    """The distance of one checkpoint at infinitely many samples, by a line in 1 / samples.

    `rows` has columns samples and value: the same metric, checkpoint and settings at two or more numbers of samples,
    best a factor of two apart and at least 5,000 (below, the bias is not linear for 2,048 features).

    Raises:
        CannotFitError: fewer than two different numbers of samples.
    """
    samples = rows["samples"].to_numpy(dtype=float)
    if len(set(samples)) < 2:
        raise CannotFitError(f"needs values at two or more numbers of samples; got {sorted(set(samples))}")
    design, target = np.column_stack([np.ones(len(rows)), 1 / samples]), rows["value"].to_numpy(dtype=float)
    theta, covariance, _, _ = least_squares(design, target)
    dof = len(rows) - 2
    variance = float(np.sum((target - design @ theta) ** 2)) / dof if dof else float("nan")
    return Unbiased(
        float(theta[0]),
        float(np.sqrt(covariance[0, 0] * variance)),
        float(theta[1]),
        tuple(sorted({int(s) for s in samples})),
    )


STANDARD = 50_000
"""The samples of FID-50K, with which almost all published values are measured."""


def sample_size_warning(rows: pd.DataFrame) -> str | None:
    """A line that says that distances from different numbers of samples stand side by side, or FID from few; or None.

    `rows` has columns metric, samples, value.
    """
    for name, part in rows[rows["metric"].isin(DISTANCES)].groupby("metric"):
        metric = str(name)
        sizes = sorted({int(n) for n in part["samples"].dropna()})
        if len(sizes) > 1:
            listed = ", ".join(f"{n:,}" for n in sizes)
            return (
                f"{metric} from {listed} samples: its bias falls as 1 / samples, so these values cannot be compared; "
                "measure at one number, or correct with without_bias"
            )
        if metric in INCEPTION and sizes and sizes[0] < STANDARD:
            return (
                f"{metric} from {sizes[0]:,} samples lies above that from {STANDARD:,} by a bias that falls as 1 / "
                "samples and differs between models: no value to set beside published ones, and exponents move with it"
            )
    return None
