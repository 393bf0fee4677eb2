"""What models that were not run would reach, from the law that predicts the measured ones best.

What is here is the metric, with its interval and how far it lies past the data. Money and hours are `plan`'s; which run
to buy next is `design`.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from dit_grid.analysis.fits import FORMS, CannotFitError, FitResult, compare
from dit_grid.analysis.fits.comparison import AnyLaw
from dit_grid.analysis.laws.scaling import ScalingLaw, law
from dit_grid.analysis.results.families import FAMILY, having
from dit_grid.analysis.results.frames import Results
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.analysis.results.unknown import update_gmacs, what_is_lacking
from dit_grid.model.plurals import counted

CANDIDATE = ["model", "size", "patch", "params", "tokens", "gmacs", "batch", "steps"]

WIDE = 1.5
"""Ratio between the forms' predictions from which the text says that they disagree. The paper's own seeds and
reimplementations differ by less (up to 16 %), so a larger ratio is the form's doing."""


@dataclass(frozen=True)
class Forecast:
    """Predictions, the fit they come from, and every form's score on the points that were measured.

    `predictions` has a row a candidate: what it is, `train_gmacs` for all its steps, `predicted` with `low` and `high`
    (95 %, one new run), `decades`, log10 of the factor by which its compute or its farthest predictor lies past the
    points (0: inside), and `observed` where it was measured but kept out of the fit. `by_form` has a row a form, best
    first, and a column a candidate, NaN where the form cannot say.
    """

    metric: str
    predictions: pd.DataFrame
    fit: FitResult
    scores: pd.DataFrame
    by_form: pd.DataFrame
    source: str = ""

    def to_text(self) -> str:
        """The law used, its record on left-out points, a line a candidate, and what the other forms say."""
        return "\n".join([*self.heading(), *map(_line, self.predictions.to_dict("records")), *self.caveats()])

    def heading(self) -> list[str]:
        """The law used, and its record on points that it did not see beside the other forms'."""
        used = self.scores[self.scores["law"] == self.fit.law.name].iloc[0]
        rest = self.scores[self.scores["law"] != self.fit.law.name]
        others = ", ".join(f"{r['law']} {_percent(r['loo_rms'])}" for r in rest.to_dict("records"))
        most = metric_named(self.metric).most
        of = f"{self.metric}, by what it lacks of {most:g}," if most is not None else self.metric
        return [
            f"Forecast of {of} from {counted(self.fit.n, 'model')} by {self.fit.law.name}: of {len(self.scores)} forms "
            "the best at predicting the more expensive half from the cheaper models "
            f"(RMS {_percent(used['forward_rms'])})",
            f"  {self.fit.law.equation(self.fit.theta)}",
            f"  leave-one-out RMS error {_percent(used['loo_rms'])}; {others}",
        ]

    def caveats(self) -> list[str]:
        """What a reader has to know before believing a row."""
        notes = [
            "  The form was chosen on these points, so its record flatters it; intervals do not include that choice."
        ]
        best = self.by_form.iloc[:3]
        for model in self.by_form.columns:
            said = best[model].dropna()
            if len(said) > 1 and said.min() > 0 and said.max() / said.min() > WIDE:
                ends = f"{said.min():.3g} ({said.idxmin()}) to {said.max():.3g} ({said.idxmax()})"
                notes.append(f"  {model}: the three best forms disagree, {ends}")
        return notes


@np.errstate(over="ignore", invalid="ignore")  # of forms that do not suit a metric
def forecast(
    results: Results, candidates: pd.DataFrame | None = None, metric: str = "fd_conv", forms: tuple[AnyLaw, ...] = FORMS
) -> Forecast:
    """The final value of `metric` for each candidate, by the form that predicts forward best (`forward_chain`).

    On the paper's table this picks the same form from any 6 to 11 cheapest models, where leaving one out does not.
    Of a metric of shares, such as accuracy, the forms are fitted to what it lacks of 1.

    A form that cannot say a candidate (one power law per patch, and a new patch) is passed over.

    `candidates` has the columns of CANDIDATE; by default it is the runs of the grid, of the law's family, that have no
    final value yet. One whose model was measured is kept out of the fit, and its value returned as `observed`.

    Raises:
        CannotFitError: fewer than six models measured, or no form can say a candidate.
        NotMeasuredError: nothing of the metric was measured.
    """
    found = law(results, metric)
    asked = unfinished(results, found.points) if candidates is None else candidates.reset_index(drop=True)
    measured = found.points.set_index("model")["value"]
    most = metric_named(metric).most
    points = _lacking(found.points[~found.points["model"].isin(asked["model"])].reset_index(drop=True), most)
    fits, scores = _ranked(points, forms, metric)
    by_form = pd.DataFrame({form.name: _means(fit, asked) for form, fit in fits.items()}, index=asked["model"]).T
    best = next((fit for form, fit in fits.items() if by_form.loc[form.name].notna().all()), None)
    if best is None:
        raise CannotFitError(
            f"no form can predict all of {', '.join(asked['model'])} from {counted(len(points), 'model')}"
        )
    predicted = best.predict(asked).rename(columns={"mean": "predicted"})
    if most is not None:
        ends = {"predicted": predicted["predicted"], "low": predicted["high"], "high": predicted["low"]}
        predicted, by_form = (
            predicted.assign(**{k: (most - end).clip(lower=0.0) for k, end in ends.items()}),
            most - by_form,
        )
    table = asked[CANDIDATE].assign(train_gmacs=update_gmacs(asked) * asked["steps"]).join(predicted)
    table = table.assign(decades=_decades(table, points), observed=asked["model"].map(measured))
    return Forecast(metric, table.drop(columns="extrapolation"), best, scores, by_form, results.where)


def _lacking(points: pd.DataFrame, most: float | None) -> pd.DataFrame:
    """Return the points of a metric of shares with what each lacks of the most there is: that falls as a power."""
    if most is None:
        return points
    points = points.assign(value=most - points["value"])
    return points[points["value"] > 0].reset_index(drop=True)


def best_form(points: pd.DataFrame, forms: tuple[AnyLaw, ...] = FORMS, metric: str = "value") -> AnyLaw:
    """The form that predicts the more expensive half of the points from the cheaper ones best, as `forecast` picks it.

    Raises:
        CannotFitError: fewer than six points.
    """
    return next(iter(_ranked(points, forms, metric)[0]))


def held_out(results: Results, models: Collection[str]) -> Results:
    """The results as if these models had not been measured."""
    return replace(results, evals=results.evals[~results.evals["model"].isin(models)])


def costlier_than_cheapest(found: ScalingLaw, k: int) -> list[str]:
    """The models of a law that are not among its k cheapest by forward GMACs, cheapest first."""
    return list(found.points.sort_values("gmacs", kind="stable")["model"].iloc[k:])


def unfinished(results: Results, points: pd.DataFrame) -> pd.DataFrame:
    """The models of the law's family that are in the grid and not yet among its points; all models without a point."""
    of_law = results.runs[results.runs["model"].isin(points["model"]) | points.empty]
    if of_law.empty:
        return of_law
    family = of_law.value_counts(list(FAMILY), dropna=False, sort=True).index[0]
    inside = having(results.runs, dict(zip(FAMILY, family, strict=True)))
    known = what_is_lacking(results.runs) == ""
    waiting = results.runs[inside & known & ~results.runs["model"].isin(points["model"])]
    return waiting.drop_duplicates("model").reset_index(drop=True)


def _ranked(points: pd.DataFrame, forms: tuple[AnyLaw, ...], metric: str) -> tuple[dict, pd.DataFrame]:
    """Form -> its fit, and the forms' scores, both best first by the error of predicting forward."""
    scores = compare(points, forms)
    if scores.empty or not np.isfinite(scores["forward_rms"].min()):
        few = "" if len(points) < 6 else f", and {_why_none(points)}"
        raise CannotFitError(f"a forecast needs at least 6 models with a final {metric}; got {len(points)}{few}")
    scores = scores.sort_values("forward_rms", kind="stable").reset_index(drop=True)
    named = {form.name: form for form in forms}
    return {named[name]: named[name].fit(points) for name in scores["law"]}, scores


def _why_none(points: pd.DataFrame) -> str:
    if points["gmacs"].isna().any():
        return "the compute of a forward pass is not known of all of them; see cost: in the spec"
    return "no form can be fitted to half of them"


def _decades(table: pd.DataFrame, points: pd.DataFrame) -> pd.Series:
    past = np.maximum(table["gmacs"] / points["gmacs"].max(), points["gmacs"].min() / table["gmacs"])
    return pd.Series(np.log10(np.maximum(table["extrapolation"], past)), table.index).clip(lower=0.0)


def _means(fit: FitResult, asked: pd.DataFrame) -> np.ndarray:
    """The fit's means, NaN where it cannot say: an unknown group, or a straight line below zero."""
    try:
        mean = fit.predict(asked)["mean"].to_numpy()
    except CannotFitError:
        return np.full(len(asked), np.nan)
    return np.where(mean > 0, mean, np.nan)


def _line(row: dict) -> str:
    ends = f"[{row['low']:.4g}, {row['high']:.4g}]"
    past = f", {row['decades']:.2f} decades past the data" if row["decades"] > 0 else ""
    seen = ""
    if pd.notna(row["observed"]):
        seen = f"; measured {row['observed']:.4g}, off by {100 * (row['predicted'] / row['observed'] - 1):+.1f} %"
    return f"  {row['model']}: {row['predicted']:.4g} {ends}, {row['train_gmacs']:.3g} GMACs{past}{seen}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if np.isfinite(share) else "–"
