"""What a reader of the results table has to know besides its numbers: values not finite, ties between settings.

What is here is sentences; the numbers are `frames`.
"""

import numpy as np

from dit_grid.analysis.results.frames import Results
from dit_grid.analysis.results.protocols import protocol_tie

SHOWN = 6
"""Runs that one remark names."""


def remarks(results: Results) -> list[str]:
    """A line for each metric that came out not finite where a run was measured last, and for each tie of settings."""
    metrics = sorted(set(results.evals["metric"]))
    lines = [line for metric in metrics if (line := _not_finite(results, metric))]
    return lines + [tie for metric in metrics if (tie := protocol_tie(results.evals, metric))]


def _not_finite(results: Results, metric: str) -> str:
    rows = results.evals[results.evals["metric"] == metric].drop_duplicates(["run_id", "protocol"], keep="last")
    broken = rows[~np.isfinite(rows["value"].astype(float))].drop_duplicates("run_id").to_dict("records")
    named = [f"{row['run_id']} at step {row['step']:,}: {row['value']:g}" for row in broken]
    more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return f"{metric} is not finite in {', '.join(named[:SHOWN])}{more}" if named else ""
