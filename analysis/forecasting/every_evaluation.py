"""Models that were not run, from every evaluation along the training of those that were, not from their ends alone.

A grid of a dozen models is a dozen points for a law of ends, and floors show in none of them; measured along training
it is a table of rows by size, compute and steps, for which `tables` has a mixture of laws.
"""

import pandas as pd

from dit_grid.analysis.fits.usable import is_usable
from dit_grid.analysis.results.families import largest_family, specs_of
from dit_grid.analysis.results.frames import Results, measured_rows
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.analysis.results.sweeps import best_rows, sweep_of
from dit_grid.analysis.tables.any_table import forecast_table

LEAST = 3
"""Evaluations that each run must have had."""

LATE = 0.5
"""Share of a run from which on its evaluations are used, where LEAST of them are later: before that a schedule that
anneals has hardly begun to, and a run cut short there is no run of so many steps."""

X = ["params", "gmacs", "step"]


def from_every_evaluation(results: Results, candidates: pd.DataFrame, metric: str) -> pd.DataFrame | None:
    """A row a candidate: `model`, `predicted`, `low`, `high` (95 %, one new run) at its last step, and `observed`.

    The runs are those of the law of `metric`; candidates are kept out of them. None where they were measured fewer than
    LEAST times, where the metric rises with training, or where a candidate's size or compute is not known.

    Raises:
        TableError, CannotFitError: what `tables.forecast_table` says of rows that cannot be used.
    """
    rows = _history(results, metric)
    observed = rows[rows["step"] == rows["steps"]].groupby("model")["value"].mean()
    rows = rows[~rows["model"].isin(candidates["model"])]
    known = candidates[["params", "gmacs", "steps"]].notna().all(axis=None)
    late = rows[rows["step"] >= LATE * rows["steps"]]
    rows = late if _least(late) >= LEAST else rows
    if _least(rows) < LEAST or not known or not metric_named(metric).lower_is_better:
        return None
    train = rows.rename(columns={"value": metric})[[*X, metric]]
    asked = candidates.rename(columns={"steps": "step"})[X]
    found = forecast_table(train, asked.reset_index(drop=True), metric, X).predictions
    return found[["predicted", "low", "high"]].assign(
        model=candidates["model"].to_numpy(), observed=candidates["model"].map(observed).to_numpy()
    )


def _least(rows: pd.DataFrame) -> int:
    """Evaluations of the run that has fewest; 0 without any. Every run's last one is late."""
    return 0 if rows.empty else int(rows.groupby("run_id")["step"].nunique().min())


def _history(results: Results, metric: str) -> pd.DataFrame:
    """Every usable evaluation of the runs that the law of the metric is fitted to."""
    measured = measured_rows(results, metric)
    usable = measured[is_usable(measured["value"], metric_named(metric).log) & (measured["value"] > 0)]
    family = largest_family(usable[usable["step"] == usable["steps"]], specs_of(results))[0]
    sweep = sweep_of(results, family, metric)
    kept = best_rows(family, [sweep]) if sweep else family
    return usable[usable["run_id"].isin(kept["run_id"]) & usable[["params", "gmacs"]].notna().all(axis=1)]
