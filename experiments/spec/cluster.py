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

    Hours and money are those that are billed while launches go on. Dollars need a price in `plan`. Runs are stopped at
    a checkpoint before a cap is reached, never after.
    """

    slices: PositiveInt | None = None
    """[slices] Held at once; a run on cores or GPUs counts as one."""
    slice_hours: Cap | None = None
    """[hours] Of slices in all; runs stop at a checkpoint before."""
    usd: Cap | None = None
    """[USD] In all; needs a price in `plan`."""
    of: Literal["billed", "held"] = "billed"
    """What hours and dollars are of: all slices while they are there (`plan.capacity`), or those that runs hold."""


class ClusterSpec(Record):
    """The scheduler's settings."""

    order: Literal["spec", "cheapest", "largest"] = "spec"
    """Among runs of one priority: as written, or by the compute that is left."""
    budget: BudgetSpec = BudgetSpec()
    """Caps on what is held and spent; nothing is capped by default."""
    settle_s: Seconds = 3.0
    """[seconds] After the first bad news of a gang in which its class stays open."""
    stop_grace_s: Patience = 300.0
    """[seconds] That a gang asked to checkpoint and stop may take before it is killed."""
    kill_again_s: Patience = 30.0
    """[seconds] Between kills of a gang that is not gone."""
    backoff_s: Seconds = 5.0
    """[seconds] Before the first retry that is not free; doubles with each fruitless one."""
    backoff_max_s: Seconds = 600.0
    """[seconds] The longest wait before a retry."""
    start_timeout_s: Patience = 900.0
    """[seconds] From the decision to start until every process is up."""
    watchdog_floor_s: Patience = 120.0
    """[seconds] Silence that is never taken for a hang."""
    watchdog_factor: Annotated[float, Field(ge=1, le=1e6)] = 3.0
    """[times] The 99th percentile of a step's time; silence beyond it and the floor is a hang."""
    starting_s: Patience = 1800.0
    """[seconds] Patience until the first report of a step: restoring, compiling."""
    evaluating_s: Patience = 14400.0
    """[seconds] Patience while a gang evaluates, which reports nothing meanwhile."""
    strikes: PositiveInt = 2
    """[failures] Failed starts or hangs in a row after which a slice is left alone."""
    quarantine_s: Seconds = 600.0
    """[seconds] That it is left alone; doubles each time."""
    lease_s: Annotated[float, Field(ge=1)] = 20.0
    """[seconds] Of silence after which a driver is replaced; it stops by itself at two thirds."""
