"""The rows that a law can be fitted to, and the reason for each that it cannot.

What is here decides what is dropped, in one place, so that no fit drops a row without saying so.
"""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from dit_grid.analysis.fits.result import Array, Dropped


class CannotFitError(ValueError):
    """The data cannot determine the law; the message says how many points there are and how many it needs."""


def usable(
    frame: pd.DataFrame, columns: tuple[str, ...], positive: tuple[str, ...]
) -> tuple[pd.DataFrame, tuple[Dropped, ...]]:
    """The rows finite in all `columns`, and > 0 in those whose logarithm is taken (`positive`); and those left out.

    Raises:
        CannotFitError: a column is missing.
    """
    absent = [c for c in columns if c not in frame]
    if absent:
        raise CannotFitError(
            f"no column {', '.join(map(repr, absent))}; the frame has {', '.join(map(str, frame.columns))}"
        )
    finite = np.isfinite(frame[list(columns)].to_numpy(dtype=float)).all(axis=1)
    good = finite & (frame[list(positive)].to_numpy(dtype=float) > 0).all(axis=1)
    bad = frame.loc[~good, list(columns)]
    reasons = zip(bad.index, bad.to_dict("records"), strict=True)
    return frame[good], tuple(Dropped(label, _reason(row, positive)) for label, row in reasons)


def _reason(row: dict[Hashable, Any], positive: tuple[str, ...]) -> str:
    for column, value in row.items():
        if not np.isfinite(value):
            return f"{column} is {value}"
        if column in positive and value <= 0:
            return f"{column} = {value:g} has no logarithm"
    return ""


def require(n: int, coefficients: int, law: str) -> None:
    """Raises CannotFitError unless there are more points than coefficients."""
    if n <= coefficients:
        raise CannotFitError(
            f"{law} has {coefficients} coefficients and needs at least {coefficients + 1} points; got {n}"
        )


def domain_of(frame: pd.DataFrame, x: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """The range of each predictor."""
    return {c: (float(frame[c].min()), float(frame[c].max())) for c in x}


def multiple_r(fitted: Array, observed: Array) -> float:
    """The correlation of fitted and observed values; 0 where either does not vary."""
    if np.ptp(fitted) == 0 or np.ptp(observed) == 0:
        return 0.0
    return float(np.corrcoef(fitted, observed)[0, 1])
