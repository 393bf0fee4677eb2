"""Which measured values can be drawn and fitted: finite, of a size that arithmetic survives, positive under a log axis.

What is left out is never dropped in silence: `described` says how many values, of which kinds, and where the first is.
"""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SMALLEST, LARGEST = 1e-150, 1e150
"""Between these squares and quotients fit a double. What is outside was never measured, and would overflow a fit."""


def is_usable(values: pd.Series, positive: bool = False) -> "pd.Series[bool]":
    """For each value whether it is finite and within bounds; with `positive` also whether it has a logarithm."""
    return pd.Series(are_usable(values.to_numpy(dtype=float), positive), values.index)


def are_usable(values: NDArray[np.float64], positive: bool = False) -> NDArray[np.bool_]:
    """`is_usable` of an array."""
    size = np.abs(values)
    good = np.isfinite(values) & (size <= LARGEST)
    return good & (values >= SMALLEST) if positive else good & ((values == 0) | (size >= SMALLEST))


def described(rows: pd.DataFrame, column: str, name: str, positive: bool = False) -> str:
    """How many of the rows have no usable value, e.g. `3 of 48 values of fid (nan 2, inf 1; first S/4 at step 500)`.

    `rows` has columns run_id, model and step; nothing where all are usable.
    """
    bad = rows[~is_usable(rows[column], positive)]
    if bad.empty:
        return ""
    kinds = bad[column].map(lambda value: f"{value:.3g}").value_counts()
    most = ", ".join(f"{kind} {count}" for kind, count in kinds.head(3).items()) + (" …" if len(kinds) > 3 else "")
    first = bad.to_dict("records")[0]
    return f"{len(bad)} of {len(rows)} values of {name} ({most}; first {called(first)} at step {first['step']:,})"


def called(row: Mapping[Hashable, Any]) -> str:
    """What a row is named by: its model, or where nobody said which that is, its run."""
    return str(row["run_id"] if pd.isna(row["model"]) else row["model"])
