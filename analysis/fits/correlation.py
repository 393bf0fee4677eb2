"""Pearson's correlation with its interval, on the axes that the paper prints (metric against log10 Gflops) or others.

A correlation is not a law: it says how straight the cloud is, not what the next model will reach.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from dit_grid.analysis.fits.rows import CannotFitError, usable


@dataclass(frozen=True)
class Correlation:
    """Pearson's `r` with its 95 % Fisher interval, Spearman's rank correlation, and the number of points."""

    x: str
    y: str
    r: float
    low: float
    high: float
    spearman: float
    n: int

    def __str__(self) -> str:
        return f"r({self.x}, {self.y}) = {self.r:.2f} [{self.low:.2f}, {self.high:.2f}], n = {self.n}"


def correlate(frame: pd.DataFrame, x: str, y: str, log_x: bool = True, log_y: bool = False) -> Correlation:
    """The correlation of two columns, by default as the paper has it: y against log x.

    The interval is Fisher's: tanh(atanh r ± 1.96/√(n−3)), which takes points as independent and jointly normal.

    Raises:
        CannotFitError: fewer than four usable points, or all of them alike.
    """
    logs = tuple(c for c, log in ((x, log_x), (y, log_y)) if log)
    rows, _ = usable(frame, (x, y), positive=logs)
    if len(rows) < 4:
        raise CannotFitError(f"a correlation with an interval needs at least 4 points; got {len(rows)}")
    xs, ys = (np.log10(rows[c]) if c in logs else rows[c] for c in (x, y))
    if not np.ptp(xs) or not np.ptp(ys):
        raise CannotFitError(f"a correlation needs values that differ; all {len(rows)} are alike")
    r = float(np.corrcoef(xs, ys)[0, 1])
    half = ndtri(0.975) / np.sqrt(len(rows) - 3)
    low, high = np.tanh(np.arctanh(r) + np.array([-half, half])) if abs(r) < 1 else (r, r)
    rank = float(np.corrcoef(xs.rank(), ys.rank())[0, 1])
    names = [f"log {c}" if c in logs else c for c in (x, y)]
    return Correlation(names[0], names[1], r, float(low), float(high), rank, len(rows))
