"""What a grid is run to find out: a coefficient of a law or the value of one more model, and how well to know it.

What is here reads a target and says how far the results are from it; which run to buy next is `design`.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pandas as pd

from dit_grid.analysis.fits import CannotFitError, LogLinear, ParamsTokens, PowerLaw, Quadratic
from dit_grid.analysis.fits.linear import LinearLaw
from dit_grid.analysis.forecasting.candidates import named_models
from dit_grid.analysis.forecasting.prediction import forecast
from dit_grid.analysis.laws.scaling import law
from dit_grid.analysis.results.frames import NotMeasuredError, Results
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.model.plurals import counted

COEFFICIENTS: dict[str, LinearLaw] = {
    "exponent": PowerLaw(),
    "slope": LogLinear(),
    "params_exponent": ParamsTokens(),
    "tokens_exponent": ParamsTokens(),
    "interaction": ParamsTokens(),
}
"""Coefficients that can be a target, each with the law that it belongs to."""

FORECAST_FORMS = (PowerLaw(), Quadratic(), ParamsTokens(interaction=False), ParamsTokens(), ParamsTokens(curved=True))
"""Forms that a forecast may be narrowed with: those that say any model, also one of a patch that was never run."""

REGION = "region"
"""The target that is every model of the grid that was not measured: the mean squared error of their forecasts."""

FINAL = "final"
"""The target that is each run's own: its final value, which only a launch can ask for; see `analysis.curves`."""

ENOUGH = 6
"""Models below which no target counts as met: an interval of so few is often narrow by luck. `forecast` needs six."""

_TEXT = re.compile(
    r"\s*(?P<what>[a-z_]+)(:(?P<model>[^\s±]+))?\s*((±|\+-|\+/-)?\s*(?P<width>[0-9.eE-]+)\s*(?P<percent>%)?)?\s*"
)


class TargetError(ValueError):
    """A target that cannot be read; the message says what is allowed."""


@dataclass(frozen=True)
class Target:
    """`what` is a name of COEFFICIENTS, "forecast" of `model`, REGION, or FINAL of each run by itself.

    `width` is the wanted half of the 95 % interval, in the coefficient's or metric's unit, or as a share of the
    forecast where `relative`; None where only a ranking is wanted.
    """

    what: str
    model: str = ""
    width: float | None = None
    relative: bool = False

    @property
    def name(self) -> str:
        """The target without its width: `exponent`, or `forecast:XL/2`."""
        return f"{self.what}:{self.model}" if self.model else self.what

    def __str__(self) -> str:
        return f"{self.name} {self.tolerance(self.width)}" if self.width is not None else self.name

    def tolerance(self, width: float) -> str:
        """A half-width in the target's own unit, as text."""
        percent = 100 * width
        return f"±{percent:{'.2g' if percent < 99.5 else '.0f'}}%" if self.relative else f"±{width:.3g}"


def parse_target(text: str, with_width: bool = False) -> Target:
    """The target in `exponent ±0.05`, `exponent +-0.05`, `forecast:XL/2 ±10%` or, without a width, `exponent`.

    Raises:
        TargetError: another form, an unknown coefficient, a width that is missing or not above 0.
    """
    found = _TEXT.fullmatch(text)
    what, model = (found["what"], found["model"] or "") if found else ("", "")
    allowed = {*COEFFICIENTS, "forecast", FINAL if with_width else REGION}
    if found is None or (what == "forecast") != bool(model) or what not in allowed:
        near = get_close_matches(what, COEFFICIENTS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near and near[0] != what else ""
        raise TargetError(
            f"target {text!r}: write a coefficient ({', '.join(COEFFICIENTS)}) or forecast:MODEL, and how well it is "
            f"to be known, e.g. 'exponent ±0.05' or 'forecast:XL/2 ±10%'"
            f", or {'for each run its own end, final ±3%' if with_width else 'region for all not measured'}{hint}"
        )
    width, relative = _width(text, found["width"], bool(found["percent"]))
    if what == REGION:
        if width is not None and not relative:
            raise TargetError(f"target {text!r}: a forecast of many models is known within a share, e.g. 'region ±10%'")
        return Target(what, model, width, True)
    if with_width and width is None:
        example = "±3%" if what == FINAL else "±0.05"
        raise TargetError(f"target {text!r}: add half of the 95 % interval wanted, e.g. '{text.strip()} {example}'")
    if what == FINAL and not relative:
        raise TargetError(f"target {text!r}: a final value's width is a share of it, e.g. 'final ±3%'")
    if relative and what not in ("forecast", FINAL):
        raise TargetError(f"target {text!r}: a coefficient's width is in its own unit, e.g. '{what} ±0.05'")
    return Target(what, model, width, relative)


def _width(text: str, number: str | None, percent: bool) -> tuple[float | None, bool]:
    if number is None:
        return None, False
    try:
        width = float(number) / (100 if percent else 1)
    except ValueError:
        width = 0.0
    if not 0 < width < np.inf:
        raise TargetError(f"target {text!r}: the width must be a number above 0, e.g. 0.05 or 10%; got {number!r}")
    return width, percent


@dataclass(frozen=True)
class Standing:
    """How well the results know a target: its value and the half-width of its 95 % interval, or None and `why` not."""

    target: Target
    models: int
    value: float | None = None
    width: float | None = None
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether the interval is as narrow as asked, from at least ENOUGH models."""
        wanted = self.target.width
        return self.width is not None and wanted is not None and self.models >= ENOUGH and self.width <= wanted

    def __str__(self) -> str:
        if self.value is None or self.width is None:
            return f"{self.target.name} not known yet: {self.why}"
        asked = f" (asked {self.target.tolerance(self.target.width)})" if self.target.width is not None else ""
        few = f"; at least {ENOUGH} are asked for" if self.models < ENOUGH else ""
        known = f"{self.target.name} {self.value:.4g} {self.target.tolerance(self.width)}{asked}"
        return f"{known} from {counted(self.models, 'model')}{few}"


def standing(results: Results, target: Target, metric: str) -> Standing:
    """How well the results know the target now; too few models is an answer, not an error.

    Raises:
        TargetError: the metric has no such coefficient. UnknownModelError: the forecast's model names no network.
    """
    check_metric(target, metric)
    try:
        points = law(results, metric).points
    except NotMeasuredError as error:
        return Standing(target, 0, why=str(error))
    try:
        return _forecast_standing(results, target, metric) if target.model else _coefficient(points, target)
    except CannotFitError as error:
        return Standing(target, len(points), why=str(error))


def check_metric(target: Target, metric: str) -> None:
    """Raise TargetError, naming what there is, where the metric's law has no such coefficient."""
    log = metric_named(metric).log
    if target.what == FINAL:
        if not metric_named(metric).lower_is_better:
            raise TargetError(f"target {target.what!r}: {metric} rises with training, and only what falls is forecast")
        return
    if target.what not in ("forecast", REGION) and COEFFICIENTS[target.what].log_y != log:
        names = [name for name, form in COEFFICIENTS.items() if form.log_y == log]
        raise TargetError(f"target {target.what!r}: the law of {metric} has {', '.join(names)}")


def _coefficient(points: pd.DataFrame, target: Target) -> Standing:
    fit = COEFFICIENTS[target.what].fit(points)
    found = fit.params[target.what]
    width = (found.high - found.low) / 2
    if not np.isfinite(width):
        return Standing(target, fit.n, why=f"{fit.law.name} is {fit.status} on {counted(fit.n, 'model')}")
    return Standing(target, fit.n, found.value, width)


def _forecast_standing(results: Results, target: Target, metric: str) -> Standing:
    found = forecast(results, named_models([target.model], results), metric, FORECAST_FORMS)
    row = found.predictions.iloc[0]
    width = row["high"] / row["predicted"] - 1 if target.relative else (row["high"] - row["low"]) / 2
    return Standing(target, found.fit.n, float(row["predicted"]), float(width))
