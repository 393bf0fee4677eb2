"""What the page's plots draw, as plain lists: series of points with the run behind each, and the law's band.

What is here selects and thins; how it looks is `page.js`, whose `draw` documents the fields.
"""

from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from dit_grid.analysis.figures.axes import GMACS
from dit_grid.analysis.figures.catalog import Material
from dit_grid.analysis.figures.curves import curves, lines_of, reads
from dit_grid.analysis.figures.losses import APART, loss_lines
from dit_grid.analysis.fits.usable import described
from dit_grid.analysis.laws.scaling import PREDICTORS, predictor
from dit_grid.analysis.report.cells import short
from dit_grid.analysis.report.sweep_plots import sensitivity_plots
from dit_grid.analysis.results.frames import (
    NotMeasuredError,
    Results,
    final_rows,
    in_grid_order,
    metric_rows,
    swept_columns,
)
from dit_grid.analysis.results.metric_names import metric_named

Plot = dict[str, Any]

POINTS = 120
"""Points of one loss curve on the page; its width on a phone is about as many pixels again."""


def plots(material: Material) -> list[Plot]:
    """The plots that the results allow, the law first."""
    results, found = material.results, []
    with suppress(NotMeasuredError):
        rows = metric_rows(results, material.metric)
        found += [_law(material)] if len(final_rows(results, material.metric)) else []
        found += sensitivity_plots(material)
        found.append(_lines(rows, material.metric, "step"))
        found += [_lines(rows, material.metric, "train_gmacs")] if rows["train_gmacs"].notna().all() else []
    with suppress(NotMeasuredError):
        found += [_losses(results.train)] if len(results.train) else []
    return found


def not_drawn(results: Results) -> list[str]:
    """What no plot shows because it is no number: how many values of each metric, and of the training loss."""
    said = [
        described(rows, "value", str(name), metric_named(str(name)).log)
        for name, rows in results.evals.groupby("metric")
    ]
    return [line for line in (*said, described(results.train, "loss", "the training loss")) if line]


def _law(material: Material) -> Plot:
    law, metric = material.law, metric_named(material.metric)
    rows = in_grid_order(final_rows(material.results, material.metric))
    x = predictor(law.points)
    series = [
        _series(str(model), part, x, "value", _facts(part), line=False)
        for (model, _), part in rows.groupby(["model", "params"], sort=False, dropna=False)
    ]
    return {
        "id": "law",
        "title": f"{metric.label.split(',')[0]} against {'compute' if x == 'gmacs' else PREDICTORS[x]}",
        "x": {"label": GMACS if x == "gmacs" else PREDICTORS[x], "log": True},
        "y": {"label": reads(material.metric), "log": metric.log},
        "series": series,
        "band": _band(material),
        "note": "; ".join([law.setting, *([law.tuning.sweep.over] if law.tuning else [])]),
    }


def _band(material: Material) -> dict[str, list[float]] | None:
    fit = material.law.fit
    if fit is None:
        return None
    low, high = fit.domain[predictor(material.law.points)]
    at = np.geomspace(low / 1.25, high * 1.25, 40)
    line = fit.predict(at)
    return {"x": short(at), **{name: short(line[name]) for name in ("mean", "low", "high")}}


def _lines(rows: pd.DataFrame, name: str, x: str) -> Plot:
    metric = metric_named(name)
    lines = curves(rows, ("train_gmacs",))
    over_steps = x == "step"
    return {
        "id": f"along-{x.replace('_', '-')}",
        "title": "Along training" if over_steps else "Against training compute",
        "x": {"label": "training step" if over_steps else "training compute, GMACs (forward × batch × steps × 3)"}
        | {"log": not over_steps},
        "y": {"label": reads(name), "log": metric.log},
        "series": [
            _series(str(part["model"].iloc[0]), part, x, "value", _seeds(part, label), line=True)
            for label, part in lines_of(lines)
        ],
        "note": "Each line is a model, the mean of its seeds.",
    }


def _losses(train: pd.DataFrame) -> Plot:
    lines = loss_lines(train)
    apart = train["run_id"].nunique() <= APART
    series = [
        _series(str(part["model"].iloc[0]), _thinned(part), "step", "smoothed", [str(run)] * POINTS, line=True)
        for run, part in lines.groupby("run_id", sort=False)
    ]
    start = lines["step"].max() * 0.1
    late = lines[lines["step"] > start]["smoothed"]
    return {
        "id": "loss",
        "title": "Training loss",
        "x": {"label": "training step", "log": False},
        "y": {"label": "training loss, MSE + bound term (smoothed)", "log": False, "focus": _ends(late)},
        "series": series,
        "note": "Each line is a run." if apart else "Each line is a model, the mean of its seeds.",
    }


def _ends(values: pd.Series) -> list[float] | None:
    return [float(values.min()), float(values.max())] if len(values) > 1 else None


def _thinned(part: pd.DataFrame) -> pd.DataFrame:
    keep = np.unique(np.linspace(0, len(part) - 1, min(POINTS, len(part))).astype(int))
    return part.iloc[keep]


def _series(model: str, rows: pd.DataFrame, x: str, y: str, texts: list[str], line: bool) -> dict[str, Any]:
    """A model's points; `facts` is what hovering shows of each. A point without a place on both axes is none."""
    first, placed = rows.iloc[0], np.isfinite(rows[x].astype(float)) & np.isfinite(rows[y].astype(float))
    texts = [text for text, good in zip(texts, placed, strict=False) if good]
    rows = rows[placed]
    return {
        "model": model,
        "size": str(first["size"]),
        "patch": int(first["patch"]),
        "line": line,
        "x": short(rows[x]),
        "y": short(rows[y]),
        "facts": texts[: len(rows)],
    }


def _facts(rows: pd.DataFrame) -> list[str]:
    return [_fact(row, swept_columns(rows)) for row in rows.to_dict("records")]


def _fact(row: dict[Any, Any], swept: list[str]) -> str:
    """What one run is, as far as it is known."""
    seed = [] if pd.isna(row["run_seed"]) else [f"seed {row['run_seed']:.0f}"]
    params = [] if pd.isna(row["params"]) else [f"{row['params']:,.0f} parameters"]
    settings = [f"{name.rpartition('.')[2]} {row[name]}" for name in swept]
    return " · ".join([str(row["run_id"]), *seed, *settings, *params, f"step {row['step']:,}"])


def _seeds(rows: pd.DataFrame, label: str = "") -> list[str]:
    told = f"{label} · " if label else ""
    return [
        f"{told}step {s:,}" + (f" · {n} seeds" if n > 1 else "")
        for s, n in zip(rows["step"], rows["seeds"], strict=True)
    ]
