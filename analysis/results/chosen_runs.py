"""The results of some of the runs: those that `KEY=VALUE` is true of, by their columns or settings.

Values are compared as numbers where both are, else as patterns: `model=XL/*`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from dit_grid.analysis.results.frames import Results

COLUMNS = {
    "run": "run_id", "model": "model", "size": "size", "patch": "patch", "block": "block", "seed": "run_seed",
    "batch": "batch", "steps": "steps", "state": "state",
}  # fmt: skip
"""Keys with a short name; every other is a dotted setting, as in a spec's grid."""


class NoSuchRunsError(ValueError):
    """A condition that cannot be read, or that no run fulfils, in one line for the user."""


def chosen_runs(results: Results, conditions: Iterable[str]) -> Results:
    """The results of the runs that fulfil all conditions. NoSuchRunsError if a key is unknown or no run is left."""
    runs, asked = results.runs, list(conditions)
    for condition in asked:
        key, equals, wanted = condition.partition("=")
        if not equals:
            raise NoSuchRunsError(f"--where {condition}: give KEY=VALUE, e.g. patch=2 or 'model=XL/*'")
        values = _values(runs, key.strip())
        kept = runs[[_fulfils(value, wanted.strip()) for value in values]]
        if kept.empty:
            there = ", ".join(sorted({_text(value) for value in values}))
            raise NoSuchRunsError(f"--where {condition}: no run has it; there {key} is {there}")
        runs = kept
    if not asked:
        return results
    ids = set(runs["run_id"])
    train, evals = (frame[frame["run_id"].isin(ids)] for frame in (results.train, results.evals))
    return replace(results, runs=runs, train=train, evals=evals)


def _values(runs: pd.DataFrame, key: str) -> list[Any]:
    if key in COLUMNS:
        return runs[COLUMNS[key]].tolist()
    specs = [_flat(json.loads(spec)) if isinstance(spec, str) and spec else {} for spec in runs["spec"]]
    known = {name for spec in specs for name in spec}
    if key not in known:
        near = get_close_matches(key, [*COLUMNS, *known], n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise NoSuchRunsError(f"--where: no key {key!r}{hint}; {', '.join(COLUMNS)}, or a setting such as train.batch")
    return [spec.get(key) for spec in specs]


def _flat(spec: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in spec.items():
        inside = isinstance(value, Mapping)
        found |= _flat(value, f"{prefix}{name}.") if inside else {f"{prefix}{name}": value}
    return found


def _fulfils(value: Any, wanted: str) -> bool:
    try:
        return float(value) == float(wanted)
    except (TypeError, ValueError):
        return fnmatchcase(_text(value), wanted)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
