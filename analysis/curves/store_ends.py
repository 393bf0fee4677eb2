"""Where the runs of a store will end: every periodic evaluation of every run, each beside the runs of its recipe.

What is here selects rows; the statistics are `ends`.
"""

import pandas as pd

from dit_grid.analysis.curves.ends import final_values
from dit_grid.analysis.results.frames import Results, metric_rows
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.analysis.tables.table import TableError

COLUMNS = ["run_id", "model", "seed", "step", "last", "until", "predicted", "low", "high", "peers"]


def ends_of(results: Results, metric: str, longer: float = 1.0) -> pd.DataFrame:
    """A row a run that is not there yet: `predicted`, `low`, `high` (95 %) of the metric at its end, step `until`.

    With `longer` that end is so many times the steps that the run asks for, and runs that are done have a row too.
    `peers` counts the ended runs of its recipe that a row rests on. Runs with fewer than two usable evaluations have
    none. Columns as COLUMNS; `seed` is the run's own.

    Raises:
        TableError: the metric rises with training. NotMeasuredError: nothing of it was measured.
    """
    if not metric_named(metric).lower_is_better:
        raise TableError(f"{metric} rises with training, and every form here falls: name a metric that falls")
    rows = metric_rows(results, metric)
    rows = rows[rows["steps"].notna() & (rows["value"] > 0)]
    parts = [_of_recipe(part, metric, longer) for _, part in rows.groupby("recipe", sort=False)]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    found = pd.concat(parts, ignore_index=True)
    return found[(found["step"] < found["until"]) & found["predicted"].notna()].reset_index(drop=True)


def _of_recipe(rows: pd.DataFrame, metric: str, longer: float) -> pd.DataFrame:
    facts = rows.drop_duplicates("run_id")[["run_id", "model", "run_seed", "steps"]]
    facts.columns = ["run", "model", "seed", "steps"]
    until = {run: round(longer * steps) for run, steps in zip(facts["run"], facts["steps"], strict=True)}
    history = rows.rename(columns={"run_id": "run", "value": metric})[["run", "step", metric]]
    found = final_values(history, until, metric)
    return found.merge(facts[["run", "model", "seed"]], on="run").rename(columns={"run": "run_id"})[COLUMNS]


def known_within(ends: pd.DataFrame) -> "pd.Series[float]":
    """How far the interval of each row reaches from its prediction, as a share of it: the larger of both sides."""
    above, below = ends["high"] / ends["predicted"] - 1, 1 - ends["low"] / ends["predicted"]
    return pd.concat([above, below], axis=1).max(axis=1)
