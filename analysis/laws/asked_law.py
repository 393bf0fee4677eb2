"""A law that somebody asks for by its axis and form, beside the grid's own (`scaling`): training, size, both.

Which measurements are comparable is decided as there. Every number is of the fit; none is chosen for its looks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dit_grid.analysis.fits import CannotFitError, FitResult, LogLinear, PowerLaw
from dit_grid.analysis.fits.isoflop import cut_at_budgets, iso_flop
from dit_grid.analysis.fits.points import law_named
from dit_grid.analysis.fits.usable import is_usable
from dit_grid.analysis.results.families import largest_family, specs_of
from dit_grid.analysis.results.frames import Results, measured_rows
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.model.plurals import counted

AXES = {"forward": "gmacs", "training": "train_gmacs", "params": "params", "steps": "step"}
"""What `--x` may be, and the column that it is; GMACs are multiply-accumulates / 1e9."""
FORMS = ("power", "line", "powers", "isoflop")
BUDGETS = 6
"""How many budgets the curves are cut at for isoFLOP parabolas."""
LEAST, LEAST_SIZES = 3, 4
"""Evaluations that a curve, and models that a budget's parabola, must have."""


@dataclass(frozen=True)
class AskedLaw:
    """The fits, each with what it is of, and why others are not there; `points` is what was fitted."""

    metric: str
    x: str
    form: str
    points: pd.DataFrame
    fits: dict[str, FitResult]
    notes: tuple[str, ...]

    def to_text(self) -> str:
        """The law in lines."""
        label = metric_named(self.metric).label
        named = label if label == self.metric else f"{label} ({self.metric})"
        lines = [f"{named} against {self.x}: {counted(len(self.points), 'point')}"]
        for name, fit in self.fits.items():
            said = fit.law.equation(fit.theta).replace("value", self.metric)
            ends = ", ".join(f"{key} {fit.params[key]}" for key in fit.law.coefficients() if key != "ln_scale")
            lines += [f"  {name}: {said}", f"    {ends} (95 %, {fit.n} points); {fit.status}"]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def record(self) -> dict[str, Any]:
        """The same for a program."""
        fits = [{
            "of": name, "law": fit.law.name, "equation": fit.law.equation(fit.theta), "n": fit.n,
            "status": str(fit.status), "coefficients": {key: vars(fit.params[key]) for key in fit.law.coefficients()},
        } for name, fit in self.fits.items()]  # fmt: skip
        points = self.points.astype(object).where(self.points.notna(), None).to_dict("records")
        return {"metric": self.metric, "x": self.x, "form": self.form, "fits": fits, "notes": list(self.notes),
                "points": points}  # fmt: skip


def asked_law(results: Results, metric: str, x: str = "forward", form: str | None = None) -> AskedLaw:
    """The law of the metric against `x` of AXES in a form of FORMS; by default a power law, or a line where no log is.

    forward, params: the models at their last step. training: the frontier of all evaluations, which no other beats with
    as little compute. steps: a law a model along its training. powers is L(N, D) = E + A/N^a + B/D^b in parameters and
    images seen; isoflop the best size at each of some budgets. Both use every evaluation and no axis.

    Raises CannotFitError where the law cannot be had of what was measured, NotMeasuredError for an unknown metric.
    """
    curves = _curves(results, metric)
    lower, log_y = metric_named(metric).lower_is_better, metric_named(metric).log
    chosen = form or ("power" if log_y else "line")
    if chosen == "powers":
        if curves[["params", "images"]].isna().any(axis=None):
            raise CannotFitError("parameters or images are not known of every model; say cost.params and train.batch")
        law = law_named("powers", ("params", "images"), "value")
        return AskedLaw(metric, "params and images seen", chosen, curves, {"L(N, D)": law.fit(curves)}, ())
    if chosen == "isoflop":
        return _iso_flop(metric, curves)
    law = (PowerLaw if chosen == "power" else LogLinear)(x=AXES[x])
    if x == "steps":
        return _along_steps(metric, curves, law, chosen)
    points = _frontier(curves, lower) if x == "training" else curves[curves["step"] == curves["steps"]]
    if points[law.x].isna().any():
        raise CannotFitError(f"{x} is not known of every model; see `cost:` in the spec")
    notes = (f"The frontier of {len(curves)} evaluations.",) if x == "training" else ()
    return AskedLaw(metric, x, chosen, points, {"all models": law.fit(points)}, notes)


def _curves(results: Results, metric: str) -> pd.DataFrame:
    """A row a model and step, the mean over seeds, of the runs that the grid's law is of."""
    log_y = metric_named(metric).log
    rows = measured_rows(results, metric)
    rows = rows[is_usable(rows["value"], log_y)]
    family, _ = largest_family(rows[rows["step"] == rows["steps"]], specs_of(results))
    rows = rows[rows["run_id"].isin(family["run_id"])].assign(images=rows["step"] * rows["batch"])
    to, back = (np.log, np.exp) if log_y else (np.asarray, np.asarray)
    names = ["model", "gmacs", "params", "step", "steps", "train_gmacs", "images"]
    found = rows.groupby(names, dropna=False, sort=False)["value"].agg(value=lambda v: float(back(np.mean(to(v)))))
    if found.empty:
        raise CannotFitError(f"no run has a final {metric} yet; `dit-grid status` says how they stand")
    return found.reset_index().sort_values(["gmacs", "model", "step"], ignore_index=True)


def _frontier(curves: pd.DataFrame, lower_is_better: bool) -> pd.DataFrame:
    """The evaluations that no other beats with as little training compute."""
    ordered = curves.sort_values(["train_gmacs", "value"], ascending=[True, lower_is_better])
    best = ordered["value"].cummin() if lower_is_better else ordered["value"].cummax()
    return ordered[(ordered["value"] == best) & ~best.duplicated()].reset_index(drop=True)


def _along_steps(metric: str, curves: pd.DataFrame, law: PowerLaw | LogLinear, form: str) -> AskedLaw:
    fits, notes = dict[str, FitResult](), list[str]()
    for model, rows in curves.groupby("model", sort=False):
        try:
            fits[str(model)] = law.fit(rows)
        except CannotFitError as error:
            notes.append(f"{model}: {error}")
    if not fits:
        raise CannotFitError(f"no model was measured at {LEAST} steps, so there is no law along them")
    return AskedLaw(metric, "steps", form, curves, fits, tuple(notes))


def _iso_flop(metric: str, curves: pd.DataFrame) -> AskedLaw:
    if not metric_named(metric).log:
        raise CannotFitError(f"isoflop is of distances and losses; {metric} has no logarithm")
    spans = curves.groupby("model")["train_gmacs"].agg(["min", "max"])
    if len(spans) < LEAST_SIZES or curves["train_gmacs"].isna().any():
        raise CannotFitError(f"isoflop needs {LEAST_SIZES} models whose compute is known; there are {len(spans)}")
    low, high = sorted(spans["min"])[LEAST_SIZES - 1], sorted(spans["max"])[-LEAST_SIZES]
    if low >= high:
        raise CannotFitError(
            f"no compute at which {LEAST_SIZES} models were measured: evaluate more often, or train smaller ones longer"
        )
    cut = cut_at_budgets(curves, list(np.geomspace(low, high, BUDGETS)))
    found = iso_flop(cut, budget="train_gmacs", y="value")
    fits = {"best params": found.optimum, "value there": found.value}
    notes = [f"{row['train_gmacs']:.4g} GMACs: best at {row['optimum']:.4g} parameters, {metric} {row['value']:.4g}"
             for row in found.minima.to_dict("records")]  # fmt: skip
    notes += [f"{dropped.row}: {dropped.reason}" for dropped in found.dropped]
    if len(found.minima) < LEAST:
        notes.append(f"No law of the best size: {len(found.minima)} of {BUDGETS} budgets have one; it needs {LEAST}.")
    kept = {name: fit for name, fit in fits.items() if fit is not None}
    return AskedLaw(metric, "training", "isoflop", cut, kept, tuple(notes))
