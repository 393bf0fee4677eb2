"""Columns whose units look mixed by a factor of 1,000, among measured rows or between them and the rows to predict.

What is here only says so; nothing is corrected.
"""

import numpy as np
import pandas as pd

THOUSAND = np.log(1000.0)
GAP = np.log(100.0)
"""Ratio of neighbouring values from which a change of unit is considered."""

BETTER = 0.25
"""The scatter about a straight line must fall below this share of itself once the rows past the gap are rescaled."""

FAR = np.log(300.0)
"""How far past the measured rows all rows to predict must lie, in one column only, to be taken for another unit."""


def mixed_units(
    seen: pd.DataFrame, asked: pd.DataFrame, y: str, x: tuple[str, ...], group: str | None = None
) -> list[str]:
    """A line for each column that looks mixed; groups may differ in their level, and a level needs a row of its own."""
    notes = []
    t = np.log(seen[y].to_numpy())
    levels = np.ones((len(t), 1)) if group is None else pd.get_dummies(seen[group]).to_numpy(float)
    for column in x:
        v = np.log(seen[column].to_numpy())
        order = np.sort(v)
        gaps = np.diff(order)
        if len(v) >= levels.shape[1] + 3 and gaps.max() > GAP:
            above = v > order[np.argmax(gaps)]
            moved = _scatter(np.where(above, v - THOUSAND, v), t, levels)
            if moved < BETTER * _scatter(v, t, levels):
                notes.append(
                    f"{column} jumps by a factor of {np.exp(gaps.max()):,.0f} between rows and lines up with {y} if "
                    f"{above.sum()} rows are divided by 1,000: are its units mixed?"
                )
    far = {column: _past(np.log(seen[column].to_numpy()), np.log(asked[column].to_numpy())) for column in x}
    odd = [column for column, past in far.items() if abs(past) > FAR]
    if odd and len(odd) < len(far):
        notes += [
            f"every row to predict lies {np.exp(abs(far[column])):,.0f} times "
            f"{'above' if far[column] > 0 else 'below'} the measured rows in {column} alone: is it in the same unit?"
            for column in odd
        ]
    return notes


def _scatter(v: np.ndarray, t: np.ndarray, levels: np.ndarray) -> float:
    design = np.column_stack([levels, v])
    return float(np.std(t - design @ np.linalg.lstsq(design, t, rcond=None)[0]))


def _past(seen: np.ndarray, asked: np.ndarray) -> float:
    """How far the nearest asked value lies above (or, negative, below) all seen ones; 0 inside."""
    return float(max(asked.min() - seen.max(), 0.0) - max(seen.min() - asked.max(), 0.0))
