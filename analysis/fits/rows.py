"""The rows that a law can be fitted to, and the reason for each that it cannot.

What is here decides what is dropped, in one place, so that no fit drops a row without saying so.
"""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from dit_grid.analysis.fits.result import Array, Dropped
from dit_grid.analysis.fits.usable import LARGEST, SMALLEST, are_usable


class CannotFitError(ValueError):
    """The data cannot determine the law; the message says how many points there are and how many it needs."""


def usable(
    frame: pd.DataFrame, columns: tuple[str, ...], positive: tuple[str, ...]
) -> tuple[pd.DataFrame, tuple[Dropped, ...]]:
    """The rows finite in all `columns`, and > 0 in those whose logarithm is taken (`positive`); and those left out.

    What is no number, or so large or small that fits overflow, is left out like a NaN.

    Raises:
        CannotFitError: a column is missing.
    """
    absent = [c for c in columns if c not in frame]
    if absent:
        raise CannotFitError(
            f"no column {', '.join(map(repr, absent))}; the frame has {', '.join(map(str, frame.columns))}"
        )
    found = {column: numbers(frame[column]) for column in columns}
    good = np.logical_and.reduce([are_usable(v.to_numpy(), c in positive) for c, v in found.items()])
    mended = {c: v for c, v in found.items() if not is_numeric(frame[c])}
    if good.all():
        return frame.assign(**mended) if mended else frame, ()
    bad = frame.loc[~good, list(columns)]
    reasons = zip(bad.index, bad.to_dict("records"), strict=True)
    dropped = tuple(Dropped(label, _reason(row, positive)) for label, row in reasons)
    return frame[good].assign(**{c: v[good] for c, v in mended.items()}), dropped


def numbers(column: pd.Series) -> pd.Series:
    """The column as float64; NaN where a cell is no number."""
    if is_numeric(column):
        return column.astype("float64")
    return pd.to_numeric(column.map(lambda cell: np.nan if isinstance(cell, bool) else cell), errors="coerce").astype(
        "float64"
    )


def is_numeric(column: pd.Series) -> bool:
    """Whether every cell is a real number or missing; truth values are none."""
    return column.dtype.kind in "iuf"


def _reason(row: dict[Hashable, Any], positive: tuple[str, ...]) -> str:
    for column, value in row.items():
        if isinstance(value, str | bool):
            return f"{column} is {str(value)[:40]!r}, no number"
        if value is None or not np.isfinite(value):
            return f"{column} is {value}"
        if column in positive and value <= 0:
            return f"{column} = {value:g} has no logarithm"
        if value and not SMALLEST <= abs(value) <= LARGEST:
            return f"{column} = {value:g} is too {'small' if abs(value) < 1 else 'large'} to compute with"
    return ""


def require(n: int, coefficients: int, law: str, dropped: tuple[Dropped, ...] = ()) -> None:
    """Raises CannotFitError unless there are more points than coefficients; it says what was dropped, and why."""
    if n <= coefficients:
        raise CannotFitError(
            f"{law} has {coefficients} coefficients and needs at least {coefficients + 1} points; got {n}"
            f"{listed(dropped)}"
        )


def listed(dropped: tuple[Dropped, ...], most: int = 3) -> str:
    """`, dropped 16: row 2 (loss is nan), …` with the first few reasons, or nothing."""
    if not dropped:
        return ""
    first = ", ".join(f"row {one.row} ({one.reason})" for one in dropped[:most])
    return f", dropped {len(dropped)}: {first}{' …' if len(dropped) > most else ''}"


def domain_of(frame: pd.DataFrame, x: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """The range of each predictor."""
    found = {c: frame[c].to_numpy(dtype=float) for c in x}
    return {c: (float(values.min()), float(values.max())) for c, values in found.items()}


def multiple_r(fitted: Array, observed: Array) -> float:
    """The correlation of fitted and observed values; 0 where either does not vary."""
    if np.ptp(fitted) == 0 or np.ptp(observed) == 0:
        return 0.0
    return float(np.corrcoef(fitted, observed)[0, 1])
