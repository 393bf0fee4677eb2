"""How fast each model of a spec really trains: a few steps of it on its own resources, kept in a store of their own.

The store lies beside the spec's and is named after it, so measured speeds outlive a launch that never began. What the
speeds are used for is the planner's.
"""

from collections.abc import Iterable

from dit_grid.experiments.spec import AnyRun, BudgetSpec, ExperimentSpec, any_run
from dit_grid.experiments.store import NotAStoreError, Store
from dit_grid.orchestrator.planning.plan import Speed

WINDOWS = 6
"""Logged windows of a measurement; the first holds the compilation and is not counted."""

STEPS_A_WINDOW = 5
"""At the least; a window is a multiple of execution.steps_per_call."""

EXPECTED_SHARE = 0.9


def calibration_store(spec: ExperimentSpec) -> str:
    """Return where the speeds measured for the spec are kept."""
    return f"{spec.store.rstrip('/')}.calibration"


def shortened(run: AnyRun) -> AnyRun:
    """Return the run cut to a few windows, with nothing evaluated: same network, batch, data and resources."""
    call = run.execution.steps_per_call
    window = call * -(-STEPS_A_WINDOW // call)
    return any_run.shortened(run, window * WINDOWS, window)


def calibration(spec: ExperimentSpec) -> ExperimentSpec:
    """Return the spec of the measurement: every run shortened, in the store for speeds, with no cap and no target."""
    short = {run.id: run for run in map(shortened, spec.runs)}
    changed = {
        "name": f"{spec.name}-calibration",
        "store": calibration_store(spec),
        "runs": tuple(short.values()),
        "cluster": spec.cluster.model_copy(update={"budget": BudgetSpec()}),
        "until": None,
    }
    return spec.model_copy(update=changed)


def measured_speeds(spec: ExperimentSpec) -> dict[str, Speed]:
    """Return run id -> speed, from the spec's own store, else from its calibration; nothing for runs never measured."""
    own = _speeds(spec.store, [run.id for run in spec.runs])
    twins = {run.id: shortened(run).id for run in spec.runs if run.id not in own}
    found = _speeds(calibration_store(spec), twins.values()) if twins else {}
    return own | {run_id: found[twin] for run_id, twin in twins.items() if twin in found}


def speed_of(rates: list[float]) -> Speed:
    """Return the median of logged rates and the range of nine tenths of them; the first compiled and is left out."""
    later = sorted(rates[1:] or rates)
    last = len(later) - 1
    cut = round(last * (1 - EXPECTED_SHARE) / 2)
    return Speed(later[len(later) // 2], later[cut], later[last - cut])


def _speeds(where: str, run_ids: Iterable[str]) -> dict[str, Speed]:
    try:
        store = Store.open(where)
    except NotAStoreError:
        return {}
    wanted = set(run_ids) & set(store.states())
    if not wanted:
        return {}
    rates: dict[str, list[float]] = {}
    for row in store.train(sorted(wanted), columns=["run_id", "step", "steps_per_s"]).to_pylist():
        if row["steps_per_s"]:
            rates.setdefault(row["run_id"], []).append(row["steps_per_s"])
    return {run_id: speed_of(found) for run_id, found in rates.items()}
