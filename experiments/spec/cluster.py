"""How the runs of a spec are scheduled together: order, budget, patience. No part of any run's id.

What the scheduler does with each setting is in `docs/scheduler.md`; every time is in seconds.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from dit_grid.experiments.spec.record import Record

Seconds = Annotated[float, Field(ge=0, le=1e9)]
Patience = Annotated[float, Field(gt=0, le=1e9)]
Cap = Annotated[float, Field(gt=0, le=1e15)]


class BudgetSpec(Record):
    """Caps; nothing is capped by default. `slices` held at once (a run on cores or GPUs counts as one), hours, money.

    Dollars need a price in `plan`. Runs are stopped at a checkpoint before a cap is reached, never after.
    """

    slices: PositiveInt | None = None
    slice_hours: Cap | None = None
    usd: Cap | None = None


class ClusterSpec(Record):
    """The scheduler's settings."""

    order: Literal["spec", "cheapest", "largest"] = "spec"
    """Among runs of one priority: as written, or by the compute that is left."""
    budget: BudgetSpec = BudgetSpec()
    settle_s: Seconds = 3.0
    """How long after the first bad news of a gang its class is left open; evidence of the infrastructure's wins."""
    stop_grace_s: Patience = 300.0
    """How long a gang that was asked to checkpoint and stop may take before it is killed."""
    kill_again_s: Patience = 30.0
    """How often a kill is said again while its gang is not gone."""
    backoff_s: Seconds = 5.0
    """Before the first retry that is not free; doubles with each fruitless one, up to `backoff_max_s`."""
    backoff_max_s: Seconds = 600.0
    start_timeout_s: Patience = 900.0
    """From the decision to start until every process is up."""
    watchdog_floor_s: Patience = 120.0
    watchdog_factor: Annotated[float, Field(ge=1, le=1e6)] = 3.0
    """No report for max(floor, factor x the 99th percentile of its time, by the step) is a hang."""
    starting_s: Patience = 1800.0
    """Patience until the first report of a step: restoring, compiling."""
    evaluating_s: Patience = 14400.0
    """Patience while a gang evaluates, which reports nothing meanwhile."""
    strikes: PositiveInt = 2
    """After so many failed starts or hangs in a row a slice is left alone for `quarantine_s`, doubling each time."""
    quarantine_s: Seconds = 600.0
    lease_s: Annotated[float, Field(ge=1)] = 20.0
    """A driver that is silent for so long is replaced; it stops acting by itself after two thirds of it."""
