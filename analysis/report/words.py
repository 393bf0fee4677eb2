"""The law in a sentence, and the checklist that a reader needs to fit it again.

What is here turns records into text; it computes nothing that is not already in the fit.
"""

import numpy as np

from dit_grid.analysis.fits import FitResult
from dit_grid.analysis.fits.result import Estimate, Status
from dit_grid.analysis.laws.cautions import effect, says_nothing
from dit_grid.analysis.laws.scaling import ScalingLaw
from dit_grid.analysis.laws.tuning_words import tuning_lines
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.model.plurals import counted, has

Item = tuple[str, str]

FEW_TIMES = 1.1
"""A smaller factor is said in per cent: "divides by 1" says nothing."""


def headline(law: ScalingLaw | None) -> str:
    """What ten times the compute does to the metric, with its interval; or that there is no law yet."""
    if law is None:
        return "Nothing was measured yet"
    label = metric_named(law.metric).label.split(",")[0]
    if law.fit is not None and says_nothing(law.points, law.fit):
        return f"Compute makes no difference to the {label}: {100 * effect(law.points, law.fit):.2g} % over all of it"
    if law.fit is None:
        return f"No law yet: {counted(len(law.points), 'model')} {has(len(law.points))} a final {label}"
    if "exponent" in law.fit.params:
        return _tenfold(law.fit, label)
    slope = law.fit.params["slope"]
    verb, digits = ("adds" if slope.value > 0 else "takes"), digits_of(slope)
    if slope.low < 0 < slope.high:
        return f"No clear effect of compute on the {label}: the interval of its slope holds 0"
    low, high = sorted((abs(slope.low), abs(slope.high)))
    by = f"{abs(slope.value):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    return f"Ten times the compute {verb} {by} {'to' if verb == 'adds' else 'from'} the {label}"


def _tenfold(fit: FitResult, label: str) -> str:
    """A factor, or where that is hardly any, per cent."""
    exponent = fit.params["exponent"]
    if exponent.low < 0 < exponent.high:
        return f"No clear effect of compute on the {label}: the exponent's interval holds 0"
    factors = [10 ** abs(e) for e in (exponent.value, exponent.low, exponent.high)]
    if factors[0] < FEW_TIMES:
        shares = [100 * abs(10**e - 1) for e in (exponent.value, exponent.low, exponent.high)]
        verb = "lowers" if exponent.value < 0 else "raises"
        return f"Ten times the compute {verb} the {label} by {_between(*shares)}".replace(" [", " % [")
    verb = "divides" if exponent.value < 0 else "multiplies"
    return f"Ten times the compute {verb} the {label} by {_between(*factors)}"


def _between(value: float, *ends: float) -> str:
    return f"{value:.2g} [{min(ends):.2g}, {max(ends):.2g}]"


def digits_of(estimate: Estimate) -> int:
    """Decimals at which an estimate and the ends of its interval show: two digits of the interval's half width."""
    half = abs(estimate.high - estimate.low) / 2
    if not np.isfinite(half) or half == 0:
        half = abs(estimate.value) / 100 or 1.0
    return int(np.clip(1 - np.floor(np.log10(half)), 0, 12))


def facts(law: ScalingLaw) -> list[Item]:
    """The headline numbers, each with its name and unit."""
    rows: list[Item] = []
    if law.fit is not None:
        name = "exponent" if "exponent" in law.fit.params else "slope"
        estimate, digits = law.fit.params[name], digits_of(law.fit.params[name])
        unit = "" if name == "exponent" else " a tenfold"
        rows.append((name.capitalize(), f"{estimate.value:.{digits}f}{unit}"))
        rows.append(("95 % interval", f"{estimate.low:.{digits}f} to {estimate.high:.{digits}f}{unit}"))
    if law.correlation is not None:
        y = law.correlation.y.replace("value", law.metric)
        rows.append((f"Correlation, log GMACs and {y}", f"{law.correlation.r:.2f}"))
    if law.tuning is not None:
        rows.append(("Of each model", law.tuning.sweep.over))
    runs = int(law.points["seeds"].sum()) if len(law.points) else 0
    return [*rows, ("Models in it", f"{len(law.points):,}"), ("Runs in it", f"{runs:,}")]


def checklist(law: ScalingLaw) -> list[Item]:
    """What a reader needs to fit the law again: data, form, loss, optimiser, uncertainty, choice of form."""
    metric = metric_named(law.metric)
    rows = [
        ("Metric", f"{metric.label} ({law.metric}), {'lower' if metric.lower_is_better else 'higher'} is better"),
        ("Measured at", law.setting or "no final value yet"),
        ("Predictor", "gmacs: multiply-accumulates of one forward pass of one image / 1e9 (the paper's Gflops)"),
        ("Replicates", _replicates(law)),
    ]
    if law.tuning is not None:
        first, *rest = tuning_lines(law.tuning)
        rows.append(("Sweep", " ".join([f"{first}.", *(line.strip() for line in rest)])))
    if law.fit is not None:
        rows += _fit_items(law.fit)
    rows.append(("Cautions", "; ".join(law.cautions) or "none"))
    rows.append(("No number", law.unusable or "every value can be drawn and fitted"))
    if law.choices:
        rows.append(("Ties", "; ".join(law.choices)))
    rows.append(("Left out", "; ".join(law.left_out) or "nothing"))
    rows.append(("Not finished", "; ".join(law.missing) or "nothing"))
    rows.append(("Form chosen", "before looking, as a power law or a line; the table of forms was made after looking"))
    return rows


def _replicates(law: ScalingLaw) -> str:
    if law.points.empty:
        return "none yet"
    seeds = law.points["seeds"]
    mean = "geometric mean" if metric_named(law.metric).log else "mean"
    if (seeds == 1).all():
        return "one seed a model: intervals hold the scatter of models about the line, not that of seeds"
    widest = law.points["spread"].max()
    return (
        f"{seeds.min()} to {seeds.max()} seeds a model, a point is their {mean}; largest / smallest up to {widest:.2f}"
    )


def _fit_items(fit: FitResult) -> list[Item]:
    fitted = f"ln {fit.law.y}" if fit.law.log_y else fit.law.y
    ends = ", ".join(f"{name} {low:.3g} to {high:.3g}" for name, (low, high) in fit.domain.items())
    return [
        ("Law", fit.law.equation(fit.theta)),
        *((f"Coefficient {name}", _coefficient(fit, name)) for name in fit.params),
        ("Objective", f"{fit.objective:.8g}: half the sum of squared residuals of {fitted}"),
        ("Loss", f"squared residual of {fitted}, {_weights(fit)}"),
        ("Optimiser and starts", fit.search),
        ("Points", f"{fit.n}, {fit.dof} degrees of freedom; {ends}"),
        ("Dropped", "; ".join(f"row {d.row}: {d.reason}" for d in fit.dropped) or "nothing"),
        ("Residual", f"standard deviation {fit.sigma:.4g} of {fitted}{_as_factor(fit)}"),
        ("Condition, status", f"{fit.condition:.3g}; {fit.status}{_warning(fit)}"),
        ("Intervals", f"Student's t, {fit.dof} degrees of freedom, 95 %"),
    ]


def _coefficient(fit: FitResult, name: str) -> str:
    if name in fit.fixed:
        return "at its bound, not determined by these points"
    estimate, unit = fit.params[name], fit.units[name]
    return f"{estimate.value:.6g}{f' {unit}' if unit else ''}, standard error {estimate.se:.3g}"


def _weights(fit: FitResult) -> str:
    return "every point with the same weight" if fit.noise is None else "each point weighted by its known noise"


def _as_factor(fit: FitResult) -> str:
    return f", a factor of {np.exp(fit.sigma):.3f}" if fit.law.log_y else ""


def _warning(fit: FitResult) -> str:
    return "" if fit.status is Status.CONVERGED else ": not every coefficient is determined by the data"
