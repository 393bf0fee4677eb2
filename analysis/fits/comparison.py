"""Laws compared by what they predict of points they did not see: each one left out, and the most expensive ones.

What is here scores; it cannot undo that a form picked after looking at the same points is flattered by every score.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dit_grid.analysis.fits.floored import Floored
from dit_grid.analysis.fits.linear import LinearLaw, LogLinear, ParamsTokens, PerGroup, PowerLaw, Quadratic
from dit_grid.analysis.fits.powers import SumOfPowers
from dit_grid.analysis.fits.result import FitResult
from dit_grid.analysis.fits.rows import CannotFitError
from dit_grid.analysis.fits.searched import Searched

AnyLaw = LinearLaw | SumOfPowers | Floored | Searched

FORMS: tuple[AnyLaw, ...] = (
    LogLinear(),
    PowerLaw(),
    SumOfPowers(("gmacs",)),
    Quadratic(),
    ParamsTokens(interaction=False),
    SumOfPowers(("params", "tokens")),
    PerGroup("params"),
    ParamsTokens(),
    ParamsTokens(curved=True),
)
"""Laws for a grid's points (columns gmacs, params, tokens, patch, value), from the paper's line to the richest."""


def compare(points: pd.DataFrame, laws: Sequence[AnyLaw] = FORMS, largest_by: str = "gmacs") -> pd.DataFrame:
    """One row a law that the points can determine, best first by leave-one-out error.

    Columns: `coefficients`; `rms` of ln y and `aicc` in the sample (Hurvich & Tsai 1989); of each point predicted from
    the others, `loo_rms` and `loo_worst` (root mean square and largest of |ln(predicted / observed)|), `loo_covered`
    (how many 95 % intervals held) and `loo_width` (geometric mean ratio of their ends); `forward_rms`, the same of
    `forward_chain` (infinite where half of the points are too few); `largest` and `largest_error`, the prediction and
    relative error of the row with the largest `largest_by`; `status`; `equation`.

    The scores rank forms; they do not correct for having chosen among them, and `attrs["warning"]` says so.
    """
    scored = (_score(_asked(points, law, largest_by), law, largest_by) for law in laws)
    table = pd.DataFrame([row for row in scored if row])
    table = table.sort_values("loo_rms", kind="stable").reset_index(drop=True) if len(table) else table
    table.attrs["warning"] = chosen_after_looking(len(table), len(points))
    return table


def chosen_after_looking(forms: int, points: int) -> str:
    """What to print beside the best of several forms."""
    return (
        f"best of {forms} forms on the same {points} points: a form picked after looking is flattered by every score, "
        "and its intervals leave the picking out"
    )


def leave_one_out(points: pd.DataFrame, law: AnyLaw) -> pd.DataFrame:
    """Each point predicted from all others: `predict`'s columns, `observed`, and `error` = mean / observed − 1."""
    parts = [_predict_held(points, law, np.arange(len(points)) == k) for k in range(len(points))]
    return pd.concat(parts)


def hold_out_largest(points: pd.DataFrame, law: AnyLaw, k: int = 1, by: str = "gmacs") -> pd.DataFrame:
    """The k largest points by a column, predicted from the rest; columns as of `leave_one_out`."""
    largest = points[by].rank(method="first", ascending=False) <= k
    return _predict_held(points, law, largest.to_numpy())


def forward_chain(points: pd.DataFrame, law: AnyLaw, by: str = "gmacs") -> pd.DataFrame:
    """Each point of the more expensive half predicted from the cheaper ones alone; columns as of `leave_one_out`.

    The score that matters for extrapolation. The first prediction is made from half of the points, but five at least.

    Raises:
        CannotFitError: fewer than six points, or too few at the start for this law.
    """
    ordered = points.sort_values(by)
    first = max(5, len(points) // 2)
    if len(points) <= first:
        raise CannotFitError(f"predicting forward needs at least 6 points; got {len(points)}")
    seen = np.arange(len(ordered))
    parts = [_predict_held(ordered.iloc[: k + 1], law, seen[: k + 1] == k) for k in range(first, len(ordered))]
    return pd.concat(parts)


def _forward_rms(points: pd.DataFrame, law: AnyLaw, by: str) -> float:
    try:
        chain = forward_chain(points, law, by)
    except CannotFitError:
        return float("inf")
    return _log_rms(chain["mean"], chain["observed"])


def _predict_held(points: pd.DataFrame, law: AnyLaw, held: NDArray[np.bool_]) -> pd.DataFrame:
    fit, target = law.fit(points[~held]), points[held]
    observed = target[law.y].to_numpy(dtype=float)
    predicted = fit.predicted(target)
    told = predicted | {"observed": observed, "error": predicted["mean"] / observed - 1}
    return pd.DataFrame(told, index=target.index)


def _asked(points: pd.DataFrame, law: AnyLaw, largest_by: str) -> pd.DataFrame:
    """The points' columns that a score looks at: rows are taken out dozens of times, of few columns much faster."""
    return points[[c for c in dict.fromkeys([*law.predictors, law.y, largest_by]) if c in points]]


def _score(points: pd.DataFrame, law: AnyLaw, largest_by: str) -> dict[str, object] | None:
    try:
        fit, left = law.fit(points), leave_one_out(points, law)
        largest = hold_out_largest(points, law, by=largest_by).iloc[0]
    except CannotFitError:
        return None
    rms = _log_rms(fit.predict(points)["mean"], points[law.y])
    inside = (left["low"] <= left["observed"]) & (left["observed"] <= left["high"])
    return {
        "law": law.name,
        "coefficients": len(fit.theta),
        "rms": rms,
        "aicc": _aicc(fit, rms),
        "loo_rms": _log_rms(left["mean"], left["observed"]),
        "loo_worst": _log_ratio(left["mean"], left["observed"]).abs().max(),
        "loo_covered": int(inside.sum()),
        "loo_width": float(np.exp(_log_ratio(left["high"], left["low"]).mean())),
        "forward_rms": _forward_rms(points, law, largest_by),
        "largest": largest["mean"],
        "largest_error": largest["error"],
        "status": str(fit.status),
        "equation": fit.law.equation(fit.theta),
    }


def _log_rms(mean: pd.Series, observed: pd.Series) -> float:
    return float(np.sqrt(np.mean(_log_ratio(mean, observed) ** 2)))


def _log_ratio(upper: pd.Series, lower: pd.Series) -> pd.Series:
    """ln(upper / lower); infinite where a straight line predicts a distance below zero."""
    sound = (upper > 0) & (lower > 0)
    return pd.Series(np.log(upper.where(sound, np.inf) / lower.where(sound, 1.0)))


def _aicc(fit: FitResult, rms: float) -> float:
    """Akaike's criterion with the small-sample term, counting the residual variance as a coefficient."""
    n, k = fit.n, len(fit.theta) + 1
    return n * np.log(rms**2) + 2 * k + 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else float("inf")
