"""Runs of which the store does not know everything, as imported ones: what follows from the rest, and what is lacking.

What a model's name says is `dit_grid.model.named`; nothing is read or written here. A run with a trainer of its own has
patch 0 (see `has_own_trainer`), and may leave open what it costs: a law is drawn against what is known of all.
"""

import json

import numpy as np
import pandas as pd

from dit_grid.model.accounting import TRAINING_FORWARDS
from dit_grid.model.named import derived_facts

NEEDED = ("model", "size", "patch", "params", "tokens", "gmacs")
"""What a point of a law has to have: where it stands, and what it is called."""

COSTS = ("params", "tokens", "gmacs")
"""Those of NEEDED that a trainer of one's own need not know."""

COUNTS = (
    *("patch", "image_size", "channels", "classes", "width", "depth", "heads", "tokens", "params", "forward_macs"),
    *("batch", "steps", "seed"),
)
"""Columns of runs that hold whole numbers, where they are known."""


def completed(runs: pd.DataFrame, train: pd.DataFrame, evals: pd.DataFrame) -> pd.DataFrame:
    """The runs with what follows from what is known: a named model's shape and costs, and the steps that a log has.

    A run that does not say how many steps it was to take is taken to have ended where it was measured last.
    """
    runs = runs.copy()
    lacking = runs[["size", "patch", "params", "tokens", "forward_macs"]].isna().any(axis=1)
    for place in runs.index[lacking & ~has_own_trainer(runs)]:
        for name, value in derived_facts(runs.loc[place].to_dict()).facts.items():
            runs[name] = runs[name].astype(object) if isinstance(value, str) else runs[name]
            runs.loc[place, name] = value
    if runs["steps"].isna().any():
        ends = [rows.groupby("run_id")["step"].max() for rows in (evals, train)]
        said = runs["run_id"].map(ends[0]).fillna(runs["run_id"].map(ends[1]))
        runs["steps"] = runs["steps"].fillna(said)
    return whole_numbers(runs)


def whole_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with counts as integers where all are known, and as floats, NaN what is not known, where one is not."""
    counts = [n for n in COUNTS if n in frame and len(frame)]
    wanted = {n: np.dtype(np.int64 if frame[n].notna().all() else float) for n in counts}
    others = {n: dtype for n, dtype in wanted.items() if frame[n].dtype != dtype}
    return frame.astype(others) if others else frame


def has_own_trainer(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each run has a trainer of its own, whose network is not one of ours: it has no patches."""
    return runs["patch"] == 0


def update_gmacs(runs: pd.DataFrame) -> "pd.Series[float]":
    """Training GMACs of an update of each run: three forward passes of a batch, or what its trainer's spec says."""
    known = (TRAINING_FORWARDS * runs["batch"] * runs["gmacs"]).astype(float)
    if "spec" not in runs:
        return known
    own = runs[has_own_trainer(runs)]
    of_all = pd.Series([_said_gmacs(spec) for spec in own["spec"]], own.index, dtype=float)
    return (of_all / own["steps"]).reindex(runs.index).fillna(known)


def _said_gmacs(spec: str) -> float:
    """What a stored spec says that the whole run's training takes; NaN where it has none or another trainer made it."""
    cost = json.loads(spec or "{}").get("cost")
    said = cost.get("train_gmacs") if isinstance(cost, dict) else None
    return float(said) if isinstance(said, int | float) else float("nan")


def what_is_lacking(rows: pd.DataFrame) -> pd.Series:
    """Of each row the facts of its run that a law needs and nobody said, e.g. "patch, gmacs"; empty where none."""
    names = [name for name in NEEDED if name in rows]
    unknown = rows[names].isna()
    if not unknown.to_numpy().any():  # as in most stores
        return pd.Series("", rows.index, dtype=object)
    unknown.loc[has_own_trainer(rows), [name for name in COSTS if name in names]] = False
    return pd.Series(
        [", ".join(np.array(names)[row]) for row in unknown.to_numpy(dtype=bool)], rows.index, dtype=object
    )
