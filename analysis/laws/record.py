"""A law as plain values, for `dit-grid analyze --json`: points, fit, what is missing, and what a sweep says.

The same in words is `ScalingLaw.to_text`; numbers that are not finite are left to whoever writes JSON.
"""

from dataclasses import asdict
from typing import Any

import pandas as pd

from dit_grid.analysis.fits import FitResult
from dit_grid.analysis.laws.optima import Optima
from dit_grid.analysis.laws.scaling import ScalingLaw
from dit_grid.analysis.laws.tuning import Tuning


def record_of(law: ScalingLaw) -> dict[str, Any]:
    """The law, its points and all that is said of them, as dictionaries, lists, numbers and text."""
    return {
        "metric": law.metric,
        "setting": law.setting,
        "points": _rows(law.points),
        "fit": _fit(law.fit),
        "why_no_fit": law.why_no_fit,
        "correlation": None if law.correlation is None else asdict(law.correlation),
        "monotone": {str(patch): held for patch, held in law.monotone.items()},
        "cautions": list(law.cautions),
        "choices": list(law.choices),
        "missing": list(law.missing),
        "left_out": list(law.left_out),
        "sweep": None if law.tuning is None else _sweep(law.tuning),
        "other_sweeps": {rule: _sweep(tuning) for rule, tuning in law.other_tunings.items()},
    }


def _fit(fit: FitResult | None) -> dict[str, Any] | None:
    if fit is None:
        return None
    coefficients = {name: asdict(estimate) for name, estimate in fit.params.items()}
    return {
        "equation": fit.law.equation(fit.theta),
        "coefficients": coefficients,
        "n": fit.n,
        "status": str(fit.status),
    }


def _sweep(tuning: Tuning) -> dict[str, Any]:
    sweep, flattery = tuning.sweep, tuning.flattery
    shown = ["model", *sweep.keys, "value", "seeds", "diverged", "lacking", "best", "tied"]
    return {
        "over": list(sweep.keys),
        "cells": _rows(sweep.cells[shown]),
        "edges": [asdict(edge) for edge in tuning.edges],
        "flattery": None if flattery is None else {"by": flattery.by, "seeds": flattery.seeds},
        "fit_without_flattery": _fit(tuning.honest),
        "optima": [_optima(found) for found in tuning.optima],
    }


def _optima(found: Optima) -> dict[str, Any]:
    return {
        "of": found.key,
        "against": found.x,
        "models": _rows(found.table),
        "neighbours_apart": found.factor,
        "too_coarse": found.is_too_coarse,
        "fit": _fit(found.fit),
        "why_no_fit": found.why,
    }


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows, each value a plain Python one and None where there is none."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]
