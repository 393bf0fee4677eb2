"""What models that were not run would reach and cost, from the law that predicts the measured ones best.

What is here is for models inside or near the grid; each row says how far outside it lies. Money and hours are `plan`'s.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dit_grid.analysis.fits import FORMS, CannotFitError, FitResult, compare
from dit_grid.analysis.fits.comparison import AnyLaw
from dit_grid.analysis.results import Results
from dit_grid.analysis.scaling import FAMILY, law
from dit_grid.model.accounting import TRAINING_FORWARDS

CANDIDATE = ["model", "size", "patch", "params", "tokens", "gmacs", "batch", "steps"]


@dataclass(frozen=True)
class Forecast:
    """Predictions, the fit they come from, and every form's score on the points that were measured.

    `predictions` has a row a candidate: what it is, `train_gmacs` for all its steps, `predicted` with `low` and `high`
    (95 %, one new run), and `extrapolation`, the factor by which its farthest predictor lies outside the points.
    """

    metric: str
    predictions: pd.DataFrame
    fit: FitResult
    scores: pd.DataFrame

    def to_text(self) -> str:
        """The law used, its record on left-out points, and a line a candidate."""
        best = self.scores.iloc[0]
        lines = [
            f"Forecast of {self.metric} by {best['law']}, of {len(self.scores)} forms the best at predicting the more "
            f"expensive half of the measured models from the cheaper ones (RMS {100 * best['forward_rms']:.0f} %)"
        ]
        for row in self.predictions.to_dict("records"):
            outside = f", ×{row['extrapolation']:.2g} outside the points" if row["extrapolation"] > 1 else ""
            ends = f"[{row['low']:.4g}, {row['high']:.4g}]"
            lines.append(f"  {row['model']}: {row['predicted']:.4g} {ends}, {row['train_gmacs']:.3g} GMACs{outside}")
        lines.append("  The form was chosen on these points, so its record flatters it; intervals do not include that.")
        return "\n".join(lines)


def forecast(
    results: Results, candidates: pd.DataFrame | None = None, metric: str = "fd_conv", forms: tuple[AnyLaw, ...] = FORMS
) -> Forecast:
    """The final value of `metric` for each candidate, by the form that predicts forward best (`forward_chain`).

    On the paper's table this picks the same form from any 6 to 11 cheapest models, where leaving one out does not.

    `candidates` has the columns model, size, patch, params, tokens, gmacs, batch, steps; by default it is the runs of
    the grid, of the law's family, that have no final value yet.

    Raises:
        ValueError: nothing of the metric was measured, or fewer than six models.
    """
    found = law(results, metric)
    scores = compare(found.points, forms)
    if scores.empty or not np.isfinite(scores["forward_rms"].min()):
        raise CannotFitError(f"a forecast needs at least 6 models with a final {metric}; got {len(found.points)}")
    scores = scores.sort_values("forward_rms", kind="stable").reset_index(drop=True)
    best = next(form for form in forms if form.name == scores["law"].iloc[0])
    fit = best.fit(found.points)
    asked = unfinished(results, found.points) if candidates is None else candidates
    predicted = fit.predict(asked).rename(columns={"mean": "predicted"})
    train_gmacs = TRAINING_FORWARDS * asked["batch"] * asked["steps"] * asked["gmacs"]
    return Forecast(metric, asked[CANDIDATE].assign(train_gmacs=train_gmacs).join(predicted), fit, scores)


def unfinished(results: Results, points: pd.DataFrame) -> pd.DataFrame:
    """The models of the law's family that are in the grid and not yet among its points."""
    family = results.runs[results.runs["model"].isin(points["model"])][list(FAMILY)].mode().iloc[0]
    inside = (results.runs[list(FAMILY)] == family).all(axis=1)
    waiting = results.runs[inside & ~results.runs["model"].isin(points["model"])]
    return waiting.drop_duplicates("model").reset_index(drop=True)
