"""The results table that people print and export: a row a run, and of a sweep which run is the best of its model.

The columns are those of `frames.run_table`; what decides which is best is `sweeps`.
"""

import pandas as pd

from dit_grid.analysis.results.frames import Results, run_table, swept_columns
from dit_grid.analysis.results.metric_names import main_metric
from dit_grid.analysis.results.sweeps import best_rows, sweeps


def results_table(results: Results) -> pd.DataFrame:
    """`frames.run_table`, and where models were swept over a hyperparameter, `best` after it: "best" of each model's
    best runs by the main metric, empty of the others and where no model has a final value."""
    table = run_table(results)
    found = sweeps(results, main_metric(set(results.evals["metric"])) or "")
    if not found:
        return table
    decided = {model for one in found for model in one.best["model"]}
    runs = results.runs[(results.runs["setting"] != "") & results.runs["model"].isin(decided)]
    best = set(best_rows(runs, found)["run_id"])
    marks = ["best" if run_id in best else "" for run_id in table["run_id"]]
    after = list(table.columns).index(swept_columns(table)[-1])
    table.insert(after + 1, "best", marks)
    return table
