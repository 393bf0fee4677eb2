"""Where runs will end while they still train: the final value of each from its own evaluations and the others'.

What is here turns evaluations along training into a table of steps, one curve a run; the statistics are the table's.
"""

from collections.abc import Mapping

import pandas as pd

from dit_grid.analysis.tables.any_table import forecast_table


def final_values(history: pd.DataFrame, until: int | Mapping[str, int], metric: str = "value") -> pd.DataFrame:
    """A row a run: its last step and value, and `predicted`, `low`, `high` (95 %, one new run) at step `until`.

    `history` has columns run, step and `metric`, which falls with training. A run of five evaluations or more is
    predicted from its own; one of fewer shares its exponents with the other runs and keeps its level. `until` is a
    step, or one a run; 2 × the run's own last step says what twice the steps would bring.

    Raises:
        TableError: a column is missing, or the evaluations cannot carry a forecast.
        KeyError: `until` lacks a run.
    """
    last = history.sort_values("step", kind="stable").groupby("run", sort=False).tail(1)
    steps = [until if isinstance(until, int) else until[run] for run in last["run"]]
    asked = pd.DataFrame({"run": last["run"].to_numpy(), "steps": steps})
    seen = history.rename(columns={"step": "steps"})
    found = forecast_table(seen, asked, metric, ["steps"], "run", names=("history", "the runs' final steps"))
    known = last.rename(columns={metric: "last"})[["run", "step", "last"]].reset_index(drop=True)
    return known.assign(until=steps).join(found.predictions[["predicted", "low", "high"]])
