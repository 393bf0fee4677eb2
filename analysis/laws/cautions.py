"""What a reader of a law must know before believing it: averages of initial weights, values at chance, no effect.

Each caution is one line; the law itself, and its intervals, are `scaling` and `fits`.
"""

import json
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from dit_grid.analysis.fits import FitResult
from dit_grid.experiments.spec.notes import average_note
from dit_grid.experiments.spec.run import EmaSpec
from dit_grid.model.plurals import counted

NO_EFFECT = 0.02
"""Share by which a law's line must change from the cheapest model to the dearest to say anything of the metric."""

_CHANCE = {"inception_score": 1.0, "is": 1.0, "precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}
_WORDS = {"params": "number of parameters", "tokens": "number of tokens"}
_DIGITS = ("digits", "captioned-digits")


def cautions(
    metric: str, rows: pd.DataFrame, points: pd.DataFrame, fit: FitResult | None, specs: Mapping[str, str]
) -> tuple[str, ...]:
    """The cautions about the law of `metric` fitted to `points`, which are made of the evaluation `rows`."""
    return (*_averages(rows, specs), *_at_chance(metric, rows, specs), *_no_effect(points, fit))


def effect(points: pd.DataFrame, fit: FitResult) -> float:
    """The change of the law's line from the cheapest to the dearest point, as a share of its value at the cheapest."""
    (x,) = fit.domain
    ends = np.array([points[x].min(), points[x].max()])
    first, last = fit.predict(ends)["mean"]
    return float(last / first - 1) if first else float("inf")


def says_nothing(points: pd.DataFrame, fit: FitResult) -> bool:
    """Whether the line hardly changes over all the compute that was spent."""
    return len(points) > 1 and abs(effect(points, fit)) < NO_EFFECT


def _no_effect(points: pd.DataFrame, fit: FitResult | None) -> Iterator[str]:
    if fit is not None and says_nothing(points, fit):
        (x,) = fit.domain
        ratio, word = points[x].max() / points[x].min(), _WORDS.get(x, "compute")
        yield (
            f"×{ratio:.3g} the {word} changes the line by {100 * effect(points, fit):.2g} %: the exponent says "
            f"nothing of {word}, however narrow its interval"
        )


def _averages(rows: pd.DataFrame, specs: Mapping[str, str]) -> Iterator[str]:
    averaged = rows[rows["weights"] == "ema"] if len(rows) else rows
    found: dict[str, set[str]] = {}
    for run_id, model in dict(zip(averaged["run_id"], averaged["model"], strict=True)).items():
        train = _spec(specs, run_id).get("train")
        if said := _average(train):
            found.setdefault(said, set()).add(str(model))
    yield from (
        f"measured on averaged weights, whose {said} ({counted(len(models), 'model')})"
        for said, models in found.items()
    )


def _average(train: object) -> str:
    """What is to be said of a run's average, from the `train` section that it recorded; nothing where it has none."""
    if not isinstance(train, dict) or not isinstance(train.get("steps"), int):
        return ""
    try:
        return average_note(EmaSpec.model_validate(train.get("ema")), train["steps"])
    except ValidationError:
        return ""


def _at_chance(metric: str, rows: pd.DataFrame, specs: Mapping[str, str]) -> Iterator[str]:
    if rows.empty:
        return
    found = [row for row in rows.to_dict("records") if _is_at_chance(metric, row, specs)]
    if found:
        values = ", ".join(f"{row['model']} {row['value']:.3g}" for row in found[:4]) + (" …" if len(found) > 4 else "")
        yield (
            f"{metric} of {len(found)} of {counted(len(rows), 'run')} is what a network has that learned nothing "
            f"({values}): train for longer, or measure weights that were trained"
        )


def _is_at_chance(metric: str, row: Mapping[Hashable, Any], specs: Mapping[str, str]) -> bool:
    """Whether a value is that of chance, within the noise of the samples or a twentieth."""
    value, samples = float(str(row["value"])), max(float(str(row["samples"] or 1)), 1.0)
    if metric == "accuracy" and row["dataset"] in _DIGITS:
        return value <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / samples)
    if metric == "heldout_loss":  # the noise has variance 1, and an untrained network's output is 0
        diffusion = _spec(specs, str(row["run_id"])).get("diffusion")
        if not isinstance(diffusion, dict) or {"loss", "weight"} & diffusion.keys():
            return False
        return diffusion.get("prediction") == "epsilon" and value >= 0.95
    chance = _CHANCE.get(metric)
    return chance is not None and value <= chance + 0.05 * chance + 1e-3


def _spec(specs: Mapping[str, str], run_id: str) -> dict[str, object]:
    text = specs.get(run_id)
    try:
        spec = json.loads(text) if isinstance(text, str) and text else {}
    except ValueError:
        return {}
    return spec if isinstance(spec, dict) else {}
