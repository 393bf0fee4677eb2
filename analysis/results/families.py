"""Which runs of a store belong together: models of one law share their settings, seeds of one model share all of them.

What is here only selects and says why a run was left out. What is fitted to the selection is `scaling`.
"""

import json
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dit_grid.analysis.results.frames import Results

FAMILY = ("block", "image_size", "batch", "steps", "dataset")
"""Settings that all models of one law share; models that differ in one are left out, and named."""


def largest_family(rows: pd.DataFrame, specs: Mapping[str, str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows of the family with the most models, each model under one recipe, and (run id with reason) of the rest.

    `rows` has run_id, model, recipe and the columns of FAMILY, any number of rows a run. `specs` (run id -> the spec as
    JSON) is only asked for what two recipes differ in.
    """
    if rows.empty:
        return rows, ()
    chosen = _most_models(rows)
    alike = [is_same(rows[column], value) for column, value in chosen.items()]
    inside = pd.Series(np.logical_and.reduce(alike), rows.index)
    outside = rows[~inside].drop_duplicates("run_id").to_dict("records")
    left_out = [f"{row['run_id']} ({_difference(row, chosen)})" for row in outside]
    family = rows[inside]
    usual = _usual_recipe(family)
    other = family["recipe"] != family["model"].map(usual)
    left_out += _other_recipes(family, other, specs)
    return family[~other], tuple(left_out)


def main_family(results: Results) -> tuple[Results, tuple[str, ...]]:
    """The results of the runs that belong together, and what was left out with the reason, for figures."""
    kept, left_out = largest_family(results.runs, specs_of(results))
    ids = set(kept["run_id"])
    runs, train, evals = (f[f["run_id"].isin(ids)] for f in (results.runs, results.train, results.evals))
    return replace(results, runs=runs, train=train, evals=evals), left_out


def specs_of(results: Results) -> dict[str, str]:
    """Run id -> its spec as JSON."""
    return dict(zip(results.runs["run_id"], results.runs["spec"], strict=True))


def _most_models(rows: pd.DataFrame) -> dict[str, Any]:
    sizes = rows.groupby(list(FAMILY), dropna=False)["model"].nunique()
    return dict(zip(FAMILY, sizes.idxmax(), strict=True))  # type: ignore[call-overload]


def is_same(column: "pd.Series[Any]", value: Any) -> "pd.Series[bool]":
    """Where a column holds the value; what nobody knows is the same as what nobody knows."""
    return column.isna() if pd.isna(value) else column == value


def _difference(row: dict[Hashable, Any], chosen: dict[str, Any]) -> str:
    return ", ".join(
        f"{column} {row[column]}, not {value}"
        for column, value in chosen.items()
        if row[column] != value and not (pd.isna(row[column]) and pd.isna(value))
    )


def _usual_recipe(family: pd.DataFrame) -> dict[str, str]:
    """Model -> the recipe to keep: the one that most models of the family have, where the model has it."""
    spread = family.groupby("recipe")["model"].nunique()
    runs = family.drop_duplicates("run_id").groupby(["model", "recipe"]).size().reset_index(name="runs")
    ranked = runs.assign(models=runs["recipe"].map(spread)).sort_values(["models", "runs", "recipe"], ascending=False)
    return dict(ranked.drop_duplicates("model")[["model", "recipe"]].to_numpy())


def _other_recipes(family: pd.DataFrame, other: "pd.Series[bool]", specs: Mapping[str, str]) -> list[str]:
    kept = family[~other].drop_duplicates("model").set_index("model")["run_id"].to_dict()
    rows = family[other].drop_duplicates("run_id")
    return [
        f"{run_id} (its {_spec_difference(specs.get(run_id, ''), specs.get(kept[model], ''))})"
        for run_id, model in zip(rows["run_id"], rows["model"], strict=True)
    ]


def _spec_difference(own: str, usual: str) -> str:
    """The first three settings in which two specs differ, with both values."""
    mine, theirs = (_flat(json.loads(text or "{}")) for text in (own, usual))
    names = [n for n in sorted(mine.keys() | theirs.keys()) if n != "seed" and mine.get(n) != theirs.get(n)]
    parts = [f"{n} {mine.get(n)}, not {theirs.get(n)}" for n in names[:3]]
    return "; ".join([*parts, *([f"and {len(names) - 3} more"] if len(names) > 3 else [])]) or "settings differ"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    inside = [_flat(item, f"{prefix}.{name}" if prefix else name) for name, item in value.items()]
    return {name: item for part in inside for name, item in part.items()}
