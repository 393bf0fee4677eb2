"""The scaling law of a grid, as `launch` prints it: final distance against compute, and what is missing.

What is here chooses which measurements are comparable and says so in text; the statistics are `dit_grid.analysis.fits`.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from html import escape

import numpy as np
import pandas as pd

from dit_grid.analysis.fits import (
    CannotFitError,
    Correlation,
    FitResult,
    LogLinear,
    PowerLaw,
    correlate,
    fit_with_noise,
    points_noise,
    seed_noise,
)
from dit_grid.analysis.fits.usable import called, described, is_usable
from dit_grid.analysis.laws.cautions import cautions
from dit_grid.analysis.laws.sample_size import sample_size_warning
from dit_grid.analysis.laws.tuning import Tuning, other_tunings, tuning_of
from dit_grid.analysis.laws.tuning_words import tuning_cautions, tuning_lines, tuning_ties
from dit_grid.analysis.results.families import FAMILY as FAMILY, family_ties, largest_family, specs_of
from dit_grid.analysis.results.frames import Results, in_grid_order, measured_rows
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.analysis.results.protocols import protocol_tie
from dit_grid.analysis.results.recipes import swept_keys
from dit_grid.analysis.results.sweeps import Sweep, best_rows, sweep_of, without_diverged
from dit_grid.model.plurals import counted, has

PREDICTORS = {
    "gmacs": "GMACs per forward pass (the paper's Gflops)",
    "train_gmacs": "GMACs of training",
    "params": "parameters",
    "tokens": "tokens of a forward pass",
}
"""What a law may be drawn against, first what is taken where it is known; a trainer of one's own need not know all."""

POINT = ("model", "size", "patch", "gmacs", "params", "tokens")


@dataclass(frozen=True)
class ScalingLaw:
    """One law: `points` (a row a model), the fit and correlation (None below three and four models), what is missing.

    `seed_noise` is the standard deviation of ln value between seeds of one model, pooled, and its degrees of freedom.
    `sample_size` warns where the number of samples biases the values or differs between them (see `sample_size`).
    `monotone` says for each patch size whether the metric improves at every step from the smallest to the largest
    size; `choices` says which of several equal families, recipes or evaluation settings was taken, and that nothing
    but their order decided it. `missing` and `left_out` name runs without a final value and models outside the family,
    each with the reason.
    """

    metric: str
    setting: str
    points: pd.DataFrame
    fit: FitResult | None
    correlation: Correlation | None
    monotone: dict[int, bool]
    missing: tuple[str, ...]
    left_out: tuple[str, ...]
    source: str = "this grid"
    runs: tuple[str, ...] = ()
    """Ids of the runs whose final values the points are made of."""
    seed_noise: tuple[float, int] = (float("nan"), 0)
    sample_size: str | None = None
    why_no_fit: str = ""
    """Why there is no fit although there are points for one."""
    unusable: str = ""
    """Values of the metric, along training too, that are NaN, infinite or beyond any measurement; see `usable`."""
    cautions: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    tuning: Tuning | None = None
    """What the models were swept over, where they were: then `points` are the best of each; see `results.sweeps`."""
    other_tunings: Mapping[str, Tuning] = field(default_factory=dict)
    """Sweeps of the same models under other rules, as another parametrization, by what tells those apart."""

    def to_text(self) -> str:
        """A few lines for the end of a launch."""
        return "\n".join(_lines(self))

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        """What Jupyter shows: the text, the fit's coefficients, and the points."""
        fit = self.fit._repr_html_() if self.fit is not None else ""
        return (
            f"<pre>{escape(self.to_text())}</pre>{fit}{self.points.to_html(index=False, float_format='{:.4g}'.format)}"
        )


def law(
    results: Results,
    metric: str = "fd_conv",
    protocol: str | None = None,
    form: PowerLaw | LogLinear | None = None,
    noise: float | None = None,
) -> ScalingLaw:
    """The law of one metric over forward GMACs, from each run's evaluation at its last step under one protocol.

    Seeds are replicates: a model is one point, the geometric mean of its seeds (arithmetic for metrics without a
    log axis). Of models that were swept over a hyperparameter the best value of each is taken, by that mean: `tuning`
    says which, whether it lies at an edge, and how far it can be believed. The fit is `form`, or a power law for
    distances and losses and a line in log10 GMACs for other metrics.
    `noise` is the standard deviation of one run's value (of its logarithm under a power law) where it is known, from
    seeds or reruns (`fits.RERUN_NOISE` for FID): the fit then weighs points by their seeds and is never surer than it.

    Raises:
        NotMeasuredError: nothing of this metric was measured; the message lists what was.
    """
    log_y, specs = metric_named(metric).log, specs_of(results)
    measured = measured_rows(results, metric, protocol)
    final = measured[measured["step"] == measured["steps"]]
    rows = final[is_usable(final["value"], log_y)]
    whole, left_out = largest_family(rows, specs)
    sweep = sweep_of(results, whole, metric, protocol)
    family = best_rows(whole, [sweep]) if sweep else whole
    tie = None if protocol else protocol_tie(results.evals, metric)
    points = _points(family, log_y)
    usual = (PowerLaw if log_y else LogLinear)(predictor(points))
    fit, correlation, why_no_fit = _fitted(points, form or usual, noise)
    tuning = _tuned(sweep, points, form or usual) if sweep and fit else tuning_of(sweep) if sweep else None
    return ScalingLaw(
        metric=metric,
        setting=_setting(family),
        points=points,
        fit=fit,
        correlation=correlation,
        monotone=_monotone(points, metric_named(metric).lower_is_better),
        missing=_missing(without_diverged(results.runs, sweep), rows, final),
        left_out=left_out,
        runs=tuple(map(str, family["run_id"])),
        seed_noise=seed_noise(family) if log_y and len(family) else (float("nan"), 0),
        sample_size=sample_size_warning(family),
        why_no_fit=why_no_fit,
        unusable=described(measured, "value", metric, log_y),
        cautions=(*cautions(metric, family, points, fit, specs), *(tuning_cautions(tuning) if tuning else ())),
        choices=(*family_ties(rows, specs), *(tuning_ties(tuning) if tuning else ()), *([tie] if tie else [])),
        tuning=tuning,
        other_tunings=other_tunings(results, sweep, metric, protocol) if sweep else {},
    )


def _tuned(sweep: Sweep, points: pd.DataFrame, form: PowerLaw | LogLinear) -> Tuning:
    """What follows from the sweep, with the law fitted again to values that no choice flatters."""
    found = tuning_of(sweep)
    if found.flattery is None or not set(points["model"]) <= set(found.flattery.values.index):
        return found
    read = points.assign(value=points["model"].map(found.flattery.values))
    with suppress(CannotFitError):
        return replace(found, honest=form.fit(read))
    return found


def predictor(points: pd.DataFrame) -> str:
    """What the law is drawn against: GMACs of a forward pass, or where those are not known of all, the next known."""
    return next((x for x in PREDICTORS if x in points and points[x].notna().all()), "gmacs")


def _fitted(
    points: pd.DataFrame, form: PowerLaw | LogLinear, noise: float | None
) -> tuple[FitResult | None, Correlation | None, str]:
    if len(points) and points[form.x].isna().all():
        return None, None, f"{PREDICTORS.get(form.x, form.x)} not known of any model; see cost: in the spec"
    try:
        fit = form.fit(points) if noise is None else fit_with_noise(form, points, points_noise(points, noise))
    except CannotFitError as error:
        return None, None, str(error)
    with suppress(CannotFitError):  # too few, or all alike: the fit says so
        return fit, correlate(points, form.x, form.y, log_y=form.log_y), ""
    return fit, None, ""


def _points(rows: pd.DataFrame, log_y: bool) -> pd.DataFrame:
    """A row a model: `value` (mean over seeds), `seeds`, and `spread`, the largest over the smallest seed."""
    to, back = (np.log, np.exp) if log_y else (np.asarray, np.asarray)
    groups = rows.groupby(list(POINT), dropna=False)["value"]
    found = groups.agg(
        value=lambda v: float(back(np.mean(to(v)))),
        seeds="size",
        spread=lambda v: float(v.max() / v.min()) if v.min() else float("nan"),
    )
    points = found.reset_index()
    first = rows.drop_duplicates("model").set_index("model")
    points = points.assign(**{key: points["model"].map(first[key]) for key in swept_keys(rows["setting"])})
    if points["gmacs"].isna().any():
        points["train_gmacs"] = points["model"].map(rows.groupby("model")["train_gmacs"].mean())
    return in_grid_order(points)


def _setting(rows: pd.DataFrame) -> str:
    if rows.empty:
        return ""
    row = rows.iloc[0]
    said = {
        "sampler": "{}",
        "sampler_steps": "{:.0f} steps",
        "guidance": "guidance {:g}",
        "samples": "{:,.0f} images",
        "weights": "{} weights",
    }
    known = {name: form.format(row[name]) for name, form in said.items() if pd.notna(row[name]) and row[name] != ""}
    sampler = " ".join(known.pop(name) for name in ("sampler", "sampler_steps") if name in known)
    return f"step {row['step']:,}; {', '.join(filter(None, [sampler, *known.values()])) or 'settings not said'}"


def _monotone(points: pd.DataFrame, lower_is_better: bool) -> dict[int, bool]:
    sign = -1 if lower_is_better else 1
    by = "params" if points["params"].notna().all() else predictor(points)
    if points[by].isna().any():  # which is larger nobody knows
        return {}
    by_patch = points.sort_values(by).groupby("patch", sort=False)["value"]
    found = {int(str(patch)): bool((sign * np.diff(v) > 0).all()) for patch, v in by_patch if len(v) > 1}
    return dict(sorted(found.items(), reverse=True))


def _missing(runs: pd.DataFrame, usable: pd.DataFrame, final: pd.DataFrame) -> tuple[str, ...]:
    """Every run without a final value that can be used: how it stands, or what its value is."""
    absent = runs[~runs["run_id"].isin(usable["run_id"])]
    values = {row["run_id"]: f"{row['metric']} is {row['value']:.3g}" for row in final.to_dict("records")}
    return tuple(
        f"{called(row)}{_seed(row['run_seed'])} ({values.get(row['run_id'], row['state'])})"
        for row in absent.to_dict("records")
    )


def _seed(seed: float | None) -> str:
    return "" if seed is None or pd.isna(seed) else f" seed {seed:.0f}"


def _lines(law: ScalingLaw) -> Iterator[str]:
    n, total = len(law.points), len(law.points) + len(law.missing)
    runs = int(law.points["seeds"].sum())
    label = metric_named(law.metric).label
    against = PREDICTORS[predictor(law.points)]
    yield f"Scaling law: {label} ({law.metric}) against {against}"
    if n:
        yield f"  {counted(n, 'model')}, {counted(runs, 'run')}; {law.setting}"
    if law.fit is None and n > 2 and law.why_no_fit:
        yield f"  No fit: {law.why_no_fit}"
    elif law.fit is None:
        so_far = f"{n} of {counted(total, 'run')} {has(total)} one so far"
        yield f"  No fit: it needs 3 models with a final {law.metric}; {so_far}."
    else:
        yield from _fit_lines(law.fit, law.metric)
    if law.correlation:
        yield f"  {_readable(str(law.correlation), law.metric)}"
    yield from _monotone_lines(law)
    if law.tuning:
        yield from (f"  {line}" for line in tuning_lines(law.tuning))
    for rule, other in law.other_tunings.items():
        yield f"  Under {rule}:"
        yield from (
            f"    {line}" for line in (*tuning_lines(other), *(f"CAUTION: {c}" for c in tuning_cautions(other)))
        )
    if law.fit and (law.points["seeds"] == 1).all():
        yield "  One seed a model: intervals hold the scatter of models about the line, not that of seeds."
    if law.seed_noise[1]:
        spread, dof = law.seed_noise
        yield f"  Seeds of one model differ by ×{np.exp(spread):.2f} (standard deviation, {dof} degrees of freedom)."
    if law.sample_size:
        yield f"  {law.sample_size}"
    yield from (f"  CAUTION: {caution}" for caution in law.cautions)
    if law.unusable:
        yield f"  No number to draw or fit: {law.unusable}"
    for choice in law.choices:
        yield f"  Tie: {choice}."
    yield from _named("Missing", law.missing)
    yield from _named("Left out", law.left_out)


def _fit_lines(fit: FitResult, metric: str) -> Iterator[str]:
    yield f"  {_readable(fit.law.equation(fit.theta), metric)}"
    name = "exponent" if "exponent" in fit.params else "slope"
    factor = f"a model is off the line by ×{np.exp(fit.sigma):.2f}" if fit.law.log_y else f"residual SD {fit.sigma:.3g}"
    yield f"  {name} {fit.params[name]} (95 %, t with {fit.dof} degrees of freedom); {factor}; {fit.status}"


def _readable(text: str, metric: str) -> str:
    return text.replace("gmacs", "GMACs").replace("value", metric)


def _monotone_lines(law: ScalingLaw) -> Iterator[str]:
    held = [str(p) for p, good in law.monotone.items() if good and p]
    broken = [str(p) for p, good in law.monotone.items() if not good and p]
    if 0 in law.monotone:  # models without patches
        yield f"  {'Better' if law.monotone[0] else 'NOT better'} with every size."
    if held:
        yield f"  Better with every size at patch {', '.join(held)}."
    if broken:
        yield f"  NOT better with every size at patch {', '.join(broken)}."


def _named(title: str, names: tuple[str, ...], shown: int = 6) -> Iterator[str]:
    if names:
        rest = f" and {len(names) - shown} more" if len(names) > shown else ""
        yield f"  {title}: {', '.join(names[:shown])}{rest}"
