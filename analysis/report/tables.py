"""The report's tables: metrics, forms of the law, coefficients.

What is here selects; cells and markup are `cells`, the numbers come from `results`, `scaling`, `fits`.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dit_grid.analysis.fits import CannotFitError, LogLinear, compare, correlate
from dit_grid.analysis.laws.scaling import ScalingLaw
from dit_grid.analysis.report.cells import Cells, cells_of
from dit_grid.analysis.results.metric_names import metric_named

CORRELATION = "correlation of log GMACs and the value"
"""The paper's: of the values themselves, also where the law is in their logs, whose correlation is another number."""


def metrics_table(laws: Mapping[str, ScalingLaw]) -> Cells:
    """A row a metric: the effect of compute in its law, and its correlation with log GMACs."""
    rows = [
        {"metric": metric_named(name).label, "models": len(found.points), **_effect(found)}
        for name, found in laws.items()
    ]
    return cells_of("Metrics", pd.DataFrame(rows))


def _effect(found: ScalingLaw) -> dict[str, Any]:
    effect: dict[str, Any] = {"effect of compute": "too few models", CORRELATION: "", "status": ""}
    if found.fit is None:
        return effect
    name = "exponent" if "exponent" in found.fit.params else "slope"
    unit = "" if name == "exponent" else " a tenfold"
    effect["effect of compute"] = f"{name} {found.fit.params[name]}{unit}"
    effect["status"] = str(found.fit.status)
    try:
        r = correlate(found.points, LogLinear().x, LogLinear().y)
        effect[CORRELATION] = f"{r.r:.2f} [{r.low:.2f}, {r.high:.2f}]"
    except CannotFitError:
        pass
    return effect


def forms_table(law: ScalingLaw) -> Cells | None:
    """The forms compared, best by leave-one-out first; None where the points determine none."""
    if len(law.points) < 4:
        return None
    scores = compare(law.points)
    if scores.empty:
        return None
    percent = {"loo_rms": "left one out, %", "forward_rms": "forward, %", "largest_error": "largest model, %"}
    shown = scores.assign(**{name: 100 * scores[name].abs() for name in percent}).rename(columns=percent)
    shown = shown.rename(columns={"coefficients": "coeff.", "aicc": "AICc"})
    columns = ["law", "coeff.", "left one out, %", "forward, %", "largest model, %", "AICc", "status", "equation"]
    return cells_of("Forms", shown[columns])


def coefficient_table(law: ScalingLaw) -> Cells | None:
    """The law's coefficients with standard errors and ends of the 95 % interval."""
    if law.fit is None:
        return None
    rows = [
        {"coefficient": n, "value": e.value, "standard error": e.se, "low": e.low, "high": e.high}
        for n, e in law.fit.params.items()
    ]
    return cells_of("Coefficients", pd.DataFrame(rows))
