"""The page's plots of a sweep: the metric over each swept setting, a line a model, its best ringed.

What is drawn is `figures.sensitivity`'s profile of the cells; how it looks is `page.js`.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pandas as pd

from dit_grid.analysis.figures.catalog import Material
from dit_grid.analysis.figures.curves import reads
from dit_grid.analysis.figures.sensitivity import profile
from dit_grid.analysis.fits.rows import is_numeric
from dit_grid.analysis.laws.optima import is_geometric
from dit_grid.analysis.laws.tuning import Tuning
from dit_grid.analysis.report.cells import short
from dit_grid.analysis.results.frames import NotMeasuredError
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.analysis.results.sweeps import Sweep, shown

Plot = dict[str, Any]


def sensitivity_plots(material: Material) -> list[Plot]:
    """A plot a numeric key and rule; none where nothing was swept. Settings in words are in the table alone."""
    with suppress(NotMeasuredError):
        drawn = [plot for rule, tuning in material.tunings.items() for plot in _plots(rule, tuning, material.metric)]
        return [plot | {"id": f"swept-{number}"} for number, plot in enumerate(drawn)]
    return []


def _plots(rule: str, tuning: Tuning, metric: str) -> Iterator[Plot]:
    sweep = tuning.sweep
    for key in (key for key in sweep.keys if is_numeric(sweep.cells[key])):
        rows = profile(sweep, key)
        rows = rows[rows["value"].notna()]
        edges = {edge.model for edge in tuning.edges if edge.key == key}
        name = sweep.short(key).replace("_", " ")
        yield {
            "title": f"Sensitivity to {name}{f', {rule}' if rule else ''}",
            "x": {"label": name, "log": is_geometric(rows[key])},
            "y": {"label": reads(metric), "log": metric_named(metric).log},
            "series": [_line(sweep, part, key, edges) for _, part in rows.groupby("model", sort=False)],
            "note": f"Ringed: {sweep.over}; red where it lies at the edge of the sweep.",
        }


def _line(sweep: Sweep, rows: pd.DataFrame, key: str, edges: set[str]) -> dict[str, Any]:
    first = rows.iloc[0]
    return {
        "model": str(first["model"]),
        "size": str(first["size"]),
        "patch": int(first["patch"]),
        "line": True,
        "x": short(rows[key]),
        "y": short(rows["value"]),
        "facts": [_fact(sweep, row) for row in rows.to_dict("records")],
        "best": [bool(best) for best in rows["best"]].index(True) if rows["best"].any() else -1,
        "edge": str(first["model"]) in edges,
    }


def _fact(sweep: Sweep, row: dict[Any, Any]) -> str:
    told = [f"{sweep.short(key)} {shown(row[key])}" for key in sweep.keys]
    return " · ".join([*told, f"{row['seeds']} seed{'s' if row['seeds'] != 1 else ''}"])
