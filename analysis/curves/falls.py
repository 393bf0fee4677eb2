"""How far a curve fell over the last doubling of steps before a place, and from there to its end.

What is here reads one curve; what runs say about each other is `ends`.
"""

from dataclasses import dataclass

import numpy as np

SHORTEST = 0.25
"""Least reach back of a slope, in doublings: of two evaluations nearer than that the difference is their noise."""


@dataclass(frozen=True)
class Fall:
    """Differences of ln of the metric, negative where it fell: `recent` a doubling of steps, `rest` to the end."""

    recent: float
    rest: float


def fall_of(steps: np.ndarray, logs: np.ndarray, at: float, end: float | None) -> Fall | None:
    """The fall of a curve around step `at`, read between its evaluations; `rest` is NaN without an `end`.

    None where the curve begins too late for a slope, or `at` is not on it. `recent` reaches back a doubling, or as far
    as the curve does and is extended to one. A curve that rose counts as one that stood still.
    """
    on = np.log2(steps)
    here = np.log2(at)
    back = max(here - 1, on[0])
    if here - back < SHORTEST or here > on[-1] + 1e-9:
        return None
    now, before = np.interp([here, back], on, logs)
    rest = np.nan if end is None else float(np.interp(np.log2(end), on, logs) - now)
    return Fall(min(float(now - before) / (here - back), 0.0), rest)
