"""A record a run for the page: what it is, how far it is, its latest numbers, and every setting that varies.

Curves are `curves`; attempts, logs and pictures of one run are `run_pages`.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dit_grid.analysis.laws.scaling import ScalingLaw
from dit_grid.analysis.report.settings import flat
from dit_grid.analysis.results.families import specs_of
from dit_grid.analysis.results.frames import Results, swept_columns
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.analysis.results.tables import results_table
from dit_grid.analysis.results.unknown import update_gmacs

MOST_SETTINGS = 40
"""Settings that vary of which a run's page speaks; of more, the first."""

UNITS = {"params": "parameters", "gmacs": "GMACs a forward pass", "steps_per_s": "updates/s", "tokens": "tokens"}


def run_facts(results: Results, laws: Mapping[str, ScalingLaw]) -> list[dict[str, Any]]:
    """The records, in grid order, without what is not known; keys are those of `columns`, and `laws`, `varies`.

    `laws` are those of all metrics, by metric.
    """
    table, in_laws = results_table(results).set_index("run_id", drop=False), _metrics_by_run(laws)
    per_step = dict(zip(results.runs["run_id"], update_gmacs(results.runs), strict=True))
    varied, facts = _varied(results), []
    for run in results.runs.to_dict("records"):
        row = table.loc[run["run_id"]].to_dict() | {"id": run["run_id"], "size": run["size"], "patch": run["patch"]}
        row |= {"block": run["block"], "per_step": per_step[run["run_id"]], "run_id": None}
        known = {str(key): value for key, item in row.items() if (value := plain(item)) is not None}
        facts.append(known | {"laws": in_laws.get(run["run_id"], []), "varies": varied.get(run["run_id"], {})})
    return facts


def columns(results: Results, facts: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The columns of the table of runs, the most telling first: `key`, `title`; a narrow screen shows the first few."""
    measured = [str(name) for name in sorted(set(results.evals["metric"]))]
    main = [name for name in measured if metric_named(name).log] + measured
    several = {"block": "block", "objective": "objective"}
    titles = {"model": "model", **{name: name.rpartition(".")[2] for name in swept_columns(results.runs)}}
    titles |= {key: key for key in several if len({fact.get(key) for fact in facts}) > 1}
    titles |= {"seed": "seed", "state": "state", "step": "step"}
    titles |= dict.fromkeys(main[:1], main[0] if main else "") | {"loss": "loss"}
    titles |= {name: name for name in measured} | {"steps_per_s": "it/s", "gmacs": "GMACs", "params": "parameters"}
    titles |= {"tokens": "tokens", "steps": "of steps", "evaluated_at": "measured at", "id": "run"}
    return [{"key": key, "title": title} for key, title in titles.items() if any(key in fact for fact in facts)]


def plain(value: Any) -> Any:
    """A cell as JSON holds it: six digits, whole numbers whole; None for what is not known or no number."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (not isinstance(value, list | dict | str) and pd.isna(value)):
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 1e15 else float(f"{value:.6g}")
    return value if isinstance(value, str | int | bool) else str(value)


def _metrics_by_run(laws: Mapping[str, ScalingLaw]) -> dict[str, list[str]]:
    """Run id -> the metrics in whose law its final value stands."""
    found: dict[str, list[str]] = {}
    for metric, law in laws.items():
        for run in law.runs:
            found.setdefault(run, []).append(metric)
    return found


def _varied(results: Results) -> dict[str, dict[str, str]]:
    """Run id -> the settings of its spec that are not the same in all runs, as text; none of runs that say none."""
    specs = {run: flat(json.loads(text)) for run, text in specs_of(results).items() if text}
    names = dict.fromkeys(name for spec in specs.values() for name in spec)
    values = {name: [json.dumps(spec.get(name)) for spec in specs.values()] for name in names}
    varied = [name for name, found in values.items() if len(set(found)) > 1][:MOST_SETTINGS]
    texts = {name: [text.strip('"') for text in values[name]] for name in varied}
    return {run: {name: texts[name][k] for name in varied} for k, run in enumerate(specs)}
