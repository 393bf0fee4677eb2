"""The early alarm of results that are frames already, as a report and a notebook have them.

The rule is `peers`; a status reads the store itself, without pandas.
"""

from dit_grid.analysis.curves.peers import Looked, departures
from dit_grid.analysis.results.frames import Results


def departed(results: Results) -> Looked:
    """The runs of the results that left their peers' loss curve, by step, and how many have too few peers."""
    runs = results.runs.rename(columns={"run_seed": "seed"})
    plain = runs.astype(object).where(runs.notna(), None).to_dict("records")
    rows = results.train[["run_id", "step", "loss"]].sort_values(["run_id", "step"], kind="stable")
    losses = {
        str(run): (part["step"].to_numpy(float), part["loss"].to_numpy(float))
        for run, part in rows.groupby("run_id", sort=False)
    }
    return departures([{str(name): value for name, value in run.items()} for run in plain], losses)
