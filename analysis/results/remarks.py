"""What a reader of the results table has to know besides its numbers: values not finite, ties between settings.

What is here is sentences; the numbers are `frames`.
"""

from collections.abc import Iterator

import numpy as np

from dit_grid.analysis.results.families import rule_names
from dit_grid.analysis.results.frames import Results
from dit_grid.analysis.results.metric_names import main_metric
from dit_grid.analysis.results.protocols import protocol_tie
from dit_grid.analysis.results.sweeps import sweeps

SHOWN = 6
"""Runs that one remark names."""

MODELS = 12
"""Models whose best value one remark names."""


def remarks(results: Results) -> list[str]:
    """A line for each metric that came out not finite where a run was measured last, and for each tie of settings; and
    which value of a sweep is best for each model, by the main metric."""
    metrics = sorted(set(results.evals["metric"]))
    lines = [line for metric in metrics if (line := _not_finite(results, metric))]
    lines += [tie for metric in metrics if (tie := protocol_tie(results.evals, metric))]
    return [*lines, *_bests(results)]


def _bests(results: Results) -> Iterator[str]:
    metric = main_metric(set(results.evals["metric"])) or ""
    found = [sweep for sweep in sweeps(results, metric) if len(sweep.best)]
    rules = rule_names(results) if len(found) > 1 else {}
    for sweep in found:
        under = rules.get(str(sweep.best["rule"].iloc[0]), "")
        named = [f"{cell['model']} {sweep.named(cell)}" for cell in sweep.best.to_dict("records")]
        more = f" and {len(named) - MODELS} more" if len(named) > MODELS else ""
        yield f"{metric} is {sweep.over}{f' under {under}' if under else ''}: {', '.join(named[:MODELS])}{more}"


def _not_finite(results: Results, metric: str) -> str:
    rows = results.evals[results.evals["metric"] == metric].drop_duplicates(["run_id", "protocol"], keep="last")
    broken = rows[~np.isfinite(rows["value"].astype(float))].drop_duplicates("run_id").to_dict("records")
    named = [f"{row['run_id']} at step {row['step']:,}: {row['value']:g}" for row in broken]
    more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return f"{metric} is not finite in {', '.join(named[:SHOWN])}{more}" if named else ""
