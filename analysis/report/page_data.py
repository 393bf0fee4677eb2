"""The data that the page draws from, as plain JSON values: runs, curves, axes, the plots that it opens with.

What is here selects; the numbers are those of `results` and `laws`, and how they are drawn is `web`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from dit_grid.analysis.figures.axes import GMACS
from dit_grid.analysis.figures.material import Material
from dit_grid.analysis.figures.style import size_colours
from dit_grid.analysis.laws.scaling import PREDICTORS, predictor
from dit_grid.analysis.report.curves import LOSS, curves, interned, main_rows, points_each, quantities, travelling
from dit_grid.analysis.report.run_facts import columns, run_facts
from dit_grid.analysis.results.frames import NotMeasuredError
from dit_grid.analysis.results.metric_names import metric_named

AXES = {
    "step": {"title": "step", "label": "training step", "short": "step"},
    "train_gmacs": {
        "title": "training compute",
        "label": "training compute, GMACs (forward × batch × steps × 3)",
        "short": "training GMACs",
    },
    "gmacs": {"title": "forward compute", "label": GMACS, "short": "GMACs"},
    "params": {"title": "parameters", "label": PREDICTORS["params"], "short": "parameters"},
    "tokens": {"title": "tokens", "label": PREDICTORS["tokens"], "short": "tokens"},
}
"""What a quantity can be drawn against: the first two along training, the others at its end."""

SMOOTHED = 0.02
"""The loss's time constant of smoothing, as a share of the longest run; that of `figures.losses`."""

MANY = 60
"""Runs above which the lines of the loss are means of seeds, as in `figures.losses`."""


ON_DARK = ("#b8652c", "#cf6d4d", "#d97a6c", "#da84a0", "#d493cf", "#bfa9ea", "#c9d6ff")
"""Colours of sizes on a dark page, dark to light with size: the order of the light page, mirrored."""


def page_data(material: Material) -> dict[str, Any]:
    """All of it; keys are documented where `web/runs.js` and `web/live.js` take them up."""
    results = material.everything
    facts = run_facts(results, material.laws)
    asked = travelling(quantities(results), len(facts))
    steps, packed = interned(curves(results.train, main_rows(results), asked, points_each(len(facts))))
    return frame_of(material, facts, asked) | {"runs": facts, "steps": steps, "curves": packed}


def frame_of(material: Material, facts: list[dict[str, Any]], asked: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What stays while curves grow: quantities, axes, columns, the plots at first, quantiles of Student's t."""
    results = material.everything
    sizes = list(dict.fromkeys(str(size) for size in results.runs["size"].dropna()))
    models = int(results.runs[["model", "params"]].drop_duplicates().shape[0])
    return {
        "quantities": asked,
        "axes": {name: said for name, said in AXES.items() if _is_known(name, facts)},
        "columns": columns(results, facts),
        "sizes": sizes,
        "colours": _colours(sizes),
        "views": views(material, facts, asked),
        "t975": [float(f"{t:.12g}") for t in stdtrit(np.arange(1, max(models - 1, 2)), 0.975)],
    }


def _colours(sizes: Sequence[str]) -> list[list[str]]:
    """Of each size its colour on a light page and on a dark one."""
    light, last = size_colours(sizes), len(ON_DARK) - 1
    dark = [ON_DARK[round(i * last / max(len(sizes) - 1, 1))] for i in range(len(sizes))]
    return [[light[size], colour] for size, colour in zip(sizes, dark, strict=True)]


def _is_known(axis: str, facts: list[dict[str, Any]]) -> bool:
    key = "per_step" if axis == "train_gmacs" else axis
    return axis == "step" or any(fact.get(key) for fact in facts)


def views(material: Material, facts: list[dict[str, Any]], asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The plots that the page opens with: the law, the metric along training and against its compute, the loss."""
    try:
        metric: str | None = material.metric
        laws = predictor(material.law.points)
    except NotMeasuredError:
        metric, laws = _first_metric(asked), "gmacs"
    found = []
    if metric is not None:
        log = metric_named(metric).log
        known = material.everything.evals["train_gmacs"].notna().any()
        if _is_known(laws, facts):
            found.append({"id": "law", "key": metric, "x": laws, "logX": True, "logY": log, "final": True})
        found.append({"id": "along-step", "key": metric, "x": "step", "logX": False, "logY": log})
        along = {"id": "along-train-gmacs", "key": metric, "x": "train_gmacs", "logX": True, "logY": log}
        found += [along] if known else []
    if LOSS in asked:
        loss = {"id": "loss", "key": LOSS, "x": "step", "logX": False, "logY": False, "smooth": SMOOTHED}
        found.append(loss | {"mean": len(material.everything.runs) > MANY})
    return [{"smooth": 0, "mean": view["id"] != "law", "zoom": None, **view} for view in found]


def _first_metric(asked: dict[str, Any]) -> str | None:
    return next((name for name, said in asked.items() if said["metric"]), None)
