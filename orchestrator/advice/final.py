"""Runs whose own end is known well enough while they train, and what ending them there saves.

What is here is the rule of `--until "final ±3%"`; the prediction is `analysis.curves`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dit_grid.model.plurals import counted
from dit_grid.orchestrator.backends.contract import now
from dit_grid.orchestrator.core.events import Asked

if TYPE_CHECKING:
    from dit_grid.analysis import Results
    from dit_grid.analysis.forecasting.target import Target

MOST_DONE = 0.9
"""Share of its steps from which on a run is left to end: its real value is worth more than what is left to save."""

LEAST_DONE = 0.25
"""Share before which none is ended: with peers at 0.3 of training the error on digits is twice that at half."""


def ends_known(results: "Results", target: "Target", metric: str, macs: Mapping[str, int]) -> dict[str, str]:
    """Return run id -> why it needs no more training: what its end is known to be, and what that saves.

    A run is ended once the 95 % interval of its final value reaches no further from the prediction than the target's
    width on either side, and between LEAST_DONE and MOST_DONE of its steps are done. `macs` holds the compute of a
    step of each run that may be ended.
    """
    from dit_grid.analysis.curves import ends_of, known_within
    from dit_grid.analysis.results.frames import NotMeasuredError

    try:
        ends = ends_of(results, metric)
    except NotMeasuredError:
        return {}
    ends = ends.assign(within=known_within(ends), done=ends["step"] / ends["until"])
    fit = (ends["within"] <= target.width) & ends["done"].between(LEAST_DONE, MOST_DONE) & ends["run_id"].isin(macs)
    return {row["run_id"]: _why(row, target, metric, macs[row["run_id"]]) for row in ends[fit].to_dict("records")}


def _why(row: Mapping[Any, Any], target: "Target", metric: str, macs: int) -> str:
    left = int(row["until"] - row["step"])
    compute = f" and {left * macs / 1e12:,.3g} TMACs of training" if macs else ""
    whence = f"from {counted(row['peers'], 'peer')}" if row["peers"] else "from its own curve"
    return (
        f"end known: {metric} {row['predicted']:.4g} {target.tolerance(row['within'])} at step {row['until']:,} (asked "
        f"{target.tolerance(target.width or 0)}, {whence}), predicted at step {row['step']:,}; not trained on saves up "
        f"to {left:,} steps{compute}"
    )


def ended(known: Mapping[str, str]) -> Sequence[Asked]:
    """Return what is asked of the core, an event a run; none for none."""
    return tuple(Asked(now(), "enough", (run_id,), why) for run_id, why in known.items())
