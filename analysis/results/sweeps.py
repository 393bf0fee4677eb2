"""Of each model the best of the values that it was trained under: the cells of a sweep, and the rows of the best ones.

What a sweep is, is `recipes`. How far a choice can be believed, and how the best value moves with size, is `laws`.
"""

import json
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from dit_grid.analysis.fits.usable import is_usable
from dit_grid.analysis.results.frames import NotMeasuredError, Results, in_grid_order, measured_rows
from dit_grid.analysis.results.metric_names import main_metric, metric_named
from dit_grid.analysis.results.recipes import FAMILY, place_of, swept_keys

_CELL = [*FAMILY, "rule", "model", "setting"]
_OF_MODEL = _CELL[:-1]
_FACTS = ["size", "patch", "params", "tokens", "gmacs"]


@dataclass(frozen=True)
class Sweep:
    """What the models of one law were trained under, and how each did.

    `cells` has a row a model and setting, in grid order: model, size, patch, params, tokens, gmacs, `rule`, `setting`
    (JSON), a column for each of `keys`, `value` (mean over the seeds that have a final one, as the law takes it; NaN
    without), `seeds` (how many those are), `diverged` (how many seeds came out as no number), `lacking` (how many have
    no final value yet, or failed otherwise), `best` (one a model, where any has a value) and `tied` (as good as it).
    `runs` has a row a final value: model, rule, setting, run_seed, value.
    """

    metric: str
    keys: tuple[str, ...]
    cells: pd.DataFrame
    runs: pd.DataFrame

    @property
    def best(self) -> pd.DataFrame:
        """The best cell of each model that has one."""
        return self.cells[self.cells["best"]]

    def short(self, key: str) -> str:
        """What a key is called in text: its last part, where no other ends alike."""
        last = key.rpartition(".")[2]
        return last if [name.rpartition(".")[2] for name in self.keys].count(last) == 1 else key

    @property
    def over(self) -> str:
        """`best over learning_rate`, or over the product of several."""
        return f"best over {' × '.join(map(self.short, self.keys))}"

    def named(self, cell: dict[Hashable, Any]) -> str:
        """A cell's values in words: the value alone of one key, `learning_rate 0.001, class_dropout 0` of two."""
        told = [(self.short(key), shown(cell[key])) for key in self.keys if not _nothing(cell[key])]
        return ", ".join(value if len(self.keys) == 1 else f"{name} {value}" for name, value in told) or "none"


def shown(value: Any) -> str:
    """A swept value as text, numbers short."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def sweeps(results: Results, metric: str, protocol: str | None = None) -> list[Sweep]:
    """Every sweep of the results, one a family of runs and rule, in order; none where nothing is swept."""
    runs = results.runs[results.runs["setting"] != ""]
    if runs.empty:
        return []
    cells, values = _measured(runs, results, metric, protocol)
    of_sweep = [*FAMILY, "group"]  # rules of own trainers' runs and of ours alike: the rule that they have
    cells = cells.assign(group=cells["rule"])
    found = []
    for _, part in cells.groupby(of_sweep, dropna=False, sort=False):
        keys = swept_keys(part["setting"])
        kept = part.drop(columns="group").assign(
            **{key: [json.loads(s).get(key) for s in part["setting"]] for key in keys}
        )
        kept = kept.assign(**{key: kept[key].map(_cell) for key in keys})
        own = values[values["cell"].isin(part.index)].drop(columns="cell")
        found.append(Sweep(metric, keys, in_grid_order(kept), own.reset_index(drop=True)))
    return found


def sweep_of(results: Results, family: pd.DataFrame, metric: str, protocol: str | None = None) -> Sweep | None:
    """The sweep that these rows of one family are of, of the models that have one; None where none has."""
    chosen = family[family["setting"] != ""].drop_duplicates(_OF_MODEL)[_OF_MODEL]
    if chosen.empty:
        return None
    of_family = results.runs.merge(chosen, on=_OF_MODEL)
    found = sweeps(replace(results, runs=of_family), metric, protocol)
    if len(found) == 1:
        return found[0]
    keys = tuple(dict.fromkeys(key for one in found for key in one.keys))
    joined = pd.concat([one.cells for one in found], ignore_index=True)
    return Sweep(metric, keys, in_grid_order(joined), pd.concat([one.runs for one in found], ignore_index=True))


def best_rows(rows: pd.DataFrame, found: list[Sweep]) -> pd.DataFrame:
    """The rows of runs that are the best of their model, and of those outside any sweep.

    Of a model without a final value the first of its values stands, until there is one.
    """
    if not found:
        return rows
    cells = pd.concat([one.cells for one in found])
    undecided = ~cells.groupby(_OF_MODEL, dropna=False)["best"].transform("any")
    first = ~cells.duplicated(_OF_MODEL)
    worse = cells[~(cells["best"] | (undecided & first))]
    return rows[~_is_among(rows, worse)]


def best_only(results: Results, metric: str | None = None, protocol: str | None = None) -> Results:
    """The results without the runs that another value of their sweep beats, by a metric (the main one of those)."""
    by = metric or main_metric(set(results.evals["metric"]))
    found = sweeps(results, by or "", protocol)
    if not found:
        return results
    ids = set(best_rows(results.runs, found)["run_id"])
    runs, train, evals = (f[f["run_id"].isin(ids)] for f in (results.runs, results.train, results.evals))
    return replace(results, runs=runs, train=train, evals=evals)


def without_diverged(runs: pd.DataFrame, sweep: Sweep | None) -> pd.DataFrame:
    """The runs less those that came out as no number while another value of their model did: nothing lacks there."""
    if sweep is None:
        return runs
    return runs[~_is_among(runs, sweep.cells[(sweep.cells["diverged"] > 0) & ~sweep.cells["best"]])]


def _is_among(rows: pd.DataFrame, cells: pd.DataFrame) -> "pd.Series[bool]":
    keys = set(_keys(cells))
    return pd.Series([key in keys for key in _keys(rows)], rows.index, dtype=bool)


def _keys(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """What says which cell each row is of; counts are floats in one frame and whole numbers in another."""
    return list(zip(*(frame[name].map(lambda v: None if pd.isna(v) else v) for name in _CELL), strict=True))


def _measured(
    runs: pd.DataFrame, results: Results, metric: str, protocol: str | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cells of these runs, numbered by their index, with the best marked; and a row a final value with its cell."""
    log = metric_named(metric).log
    try:
        rows = measured_rows(results, metric, protocol)
    except NotMeasuredError:
        rows = results.evals.head(0)
    final = rows[rows["step"] == rows["steps"]].drop_duplicates("run_id", keep="last").set_index("run_id")["value"]
    values = runs["run_id"].map(final).astype(float)
    usable = is_usable(values, log)
    broken = runs["run_id"].isin(final.index[~is_usable(final, log)]) | ((runs["failure"] == "nan") & ~usable)
    number = runs.groupby(_CELL, dropna=False, sort=False).ngroup()
    told = runs.assign(cell=number, value=values.where(usable), usable=usable, broken=broken)
    groups = told.groupby("cell")
    cells = groups[[*_CELL, *_FACTS]].first()
    to, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
    cells["value"] = back(told.assign(value=to(told["value"])).groupby("cell")["value"].mean())
    cells["seeds"], cells["diverged"] = groups["usable"].sum(), groups["broken"].sum()
    cells["lacking"] = groups.size() - cells["seeds"] - cells["diverged"]
    kept = told[told["usable"]][["model", "rule", "setting", "run_seed", "value", "cell"]]
    return _marked(cells, metric_named(metric).lower_is_better), kept


def _marked(cells: pd.DataFrame, lower_is_better: bool) -> pd.DataFrame:
    """The cells in order of their values, with the best of each model: of those whose seeds all came out, if any did.

    Of equals the first in order is taken, the lowest value.
    """
    places = [[place_of(value) for value in json.loads(text).values()] for text in cells["setting"]]
    cells = cells.iloc[sorted(range(len(places)), key=places.__getitem__)].copy()
    rank = cells.assign(_broken=cells["diverged"] > 0, _value=cells["value"] * (1 if lower_is_better else -1))
    ranked = rank[rank["value"].notna()].sort_values(["_broken", "_value"], kind="stable")
    best = ranked.drop_duplicates(_OF_MODEL)
    cells["best"] = cells.index.isin(best.index)
    top = ranked.merge(
        best[[*_OF_MODEL, "_broken", "_value"]], on=[*_OF_MODEL, "_broken", "_value"], how="left", indicator=True
    )
    cells["tied"] = cells.index.isin(ranked.index[(top["_merge"] == "both").to_numpy()])
    return cells


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value
