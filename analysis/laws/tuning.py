"""What a law owes to a choice among values: sweeps that end at their best, and how much choosing flatters.

The choice is `results.sweeps`, the optimum's own law `optima`; how all of it is told is `tuning_words`.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dit_grid.analysis.fits import FitResult
from dit_grid.analysis.fits.rows import is_numeric
from dit_grid.analysis.laws.optima import Optima, optima_of
from dit_grid.analysis.results.families import rule_names
from dit_grid.analysis.results.frames import Results
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.analysis.results.recipes import FAMILY
from dit_grid.analysis.results.sweeps import Sweep, sweeps


@dataclass(frozen=True)
class Edge:
    """A best value at the end of its model's sweep: `side` is lowest or highest."""

    model: str
    key: str
    value: float
    side: str


@dataclass(frozen=True)
class Flattery:
    """How much better the chosen values look than they are, from seeds.

    `by` is the geometric mean over models of the chosen value over what each seed has under the value that the other
    seeds choose, as a ratio of 1 or worse (a difference, for metrics without a log axis); `values` the latter, a model
    a row. It is an estimate without bias for a choice by one seed less.
    """

    by: float
    seeds: int
    values: "pd.Series[float]"


@dataclass(frozen=True)
class Tuning:
    """A sweep and what follows from it. `honest` is the law fitted to `flattery.values`, where all models have one."""

    sweep: Sweep
    optima: tuple[Optima, ...]
    edges: tuple[Edge, ...]
    flattery: Flattery | None
    honest: FitResult | None = None


def tuning_of(sweep: Sweep) -> Tuning:
    """What follows from a sweep; optima are looked at against parameters, or where those are not known what else is."""
    best = sweep.best
    known = (x for x in ("params", "gmacs", "tokens") if best[x].notna().all() and best[x].nunique() > 1)
    return Tuning(sweep, optima_of(sweep, next(known, "params")), tuple(_edges(sweep)), _flattery(sweep))


def other_tunings(results: Results, sweep: Sweep, metric: str, protocol: str | None = None) -> dict[str, Tuning]:
    """Sweeps of this one's family under other rules that have a value, by the settings that tell the rules apart."""
    own, names = set(sweep.cells["rule"]), rule_names(results)
    family = sweep.cells[list(FAMILY)].drop_duplicates()
    return {
        names[str(one.cells["rule"].iloc[0])]: tuning_of(one)
        for one in sweeps(results, metric, protocol)
        if own.isdisjoint(one.cells["rule"]) and len(one.best) and len(one.cells[list(FAMILY)].merge(family))
    }


def _edges(sweep: Sweep) -> Iterator[Edge]:
    """Bests at an end of what their model was trained under; 0, which turns a thing off, is no edge from below."""
    for cell in sweep.best.to_dict("records"):
        tried = _tried(sweep, cell)
        for key in sweep.keys:
            if not is_numeric(tried[key]) or tried[key].nunique() < 2:
                continue
            low, high = tried[key].min(), tried[key].max()
            if cell[key] in (low, high) and not cell[key] == low == 0:
                yield Edge(str(cell["model"]), key, float(cell[key]), "lowest" if cell[key] == low else "highest")


def _tried(sweep: Sweep, cell: dict[Hashable, Any]) -> pd.DataFrame:
    """The cells of this one's model that came out, as a value or as none: what lies beyond a diverged one was tried."""
    own = sweep.cells[(sweep.cells["model"] == cell["model"]) & (sweep.cells["rule"] == cell["rule"])]
    return own[own["value"].notna() | (own["diverged"] > 0)]


def _flattery(sweep: Sweep) -> Flattery | None:
    log, sign = metric_named(sweep.metric).log, 1 if metric_named(sweep.metric).lower_is_better else -1
    honest, gaps, seeds = {}, [], []
    table = sweep.runs.pivot_table("value", ["model", "setting"], "run_seed", sort=False)
    for model, part in table.groupby(level="model", sort=False):
        values = part.to_numpy(dtype=float)
        values = values[:, ~np.isnan(values).any(axis=0)]  # seeds that every value has
        if min(values.shape) < 2:
            continue
        y = np.log(values) if log else values
        others = (y.sum(axis=1, keepdims=True) - y) / (y.shape[1] - 1)
        read = np.take_along_axis(y, (sign * others).argmin(axis=0)[None], axis=0).mean()
        honest[str(model)] = float(np.exp(read) if log else read)
        gaps.append(sign * float(read - sign * (sign * y.mean(axis=1)).min()))
        seeds.append(y.shape[1])
    if not gaps:
        return None
    mean = float(np.mean(gaps))
    return Flattery(float(np.exp(mean)) if log else mean, min(seeds), pd.Series(honest))
