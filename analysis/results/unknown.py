"""Runs of which the store does not know everything, as imported ones: what follows from the rest, and what is lacking.

What a model's name says is `dit_grid.model.named`; nothing is read or written here.
"""

import numpy as np
import pandas as pd

from dit_grid.model.named import derived_facts

NEEDED = ("model", "size", "patch", "params", "tokens", "gmacs")
"""What a point of a law has to have: where it stands, and what it is called."""

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
    for place in runs.index[lacking]:
        for name, value in derived_facts(runs.loc[place].to_dict()).facts.items():
            runs[name] = runs[name].astype(object) if isinstance(value, str) else runs[name]
            runs.loc[place, name] = value
    if runs["steps"].isna().any():
        ends = [rows.groupby("run_id")["step"].max() for rows in (evals, train)]
        said = runs["run_id"].map(ends[0]).fillna(runs["run_id"].map(ends[1]))
        runs["steps"] = runs["steps"].fillna(said)
    return whole_numbers(runs)


def whole_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with counts as integers where all are known; pandas makes floats of them where one is not."""
    whole = [n for n in COUNTS if n in frame and len(frame) and frame[n].notna().all()]
    return frame.astype(dict.fromkeys(whole, np.int64))


def what_is_lacking(rows: pd.DataFrame) -> pd.Series:
    """Of each row the facts of its run that a law needs and nobody said, e.g. "patch, gmacs"; empty where none."""
    names = [name for name in NEEDED if name in rows]
    unknown = rows[names].isna()
    return pd.Series(
        [", ".join(np.array(names)[row]) for row in unknown.to_numpy(dtype=bool)], rows.index, dtype=object
    )
