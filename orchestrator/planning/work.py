"""What of a spec is left to do, what each piece needs and costs, and whether the cluster can hold it.

The driver is handed the answers; it asks nobody what a run or an evaluation costs.
"""

from collections.abc import Mapping, Sequence

from dit_grid.experiments.running.owed_evaluations import (
    TRAINED,
    EvaluationJob,
    evaluation_job,
    evaluation_steps,
    jobs_of,
    lacking,
)
from dit_grid.experiments.spec import AnyRun, ExperimentSpec, PriceSpec, RunSpec
from dit_grid.experiments.spec.any_run import columns, step_macs
from dit_grid.experiments.store import NotAStoreError, RunState, Store
from dit_grid.experiments.training.context import code_sha256
from dit_grid.model.plurals import counted
from dit_grid.orchestrator import core
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.core.events import ClusterSeen
from dit_grid.orchestrator.planning.plan import evaluation_macs_at, evaluation_s, usd_per_hour


def record_runs(spec: ExperimentSpec, store: Store) -> None:
    """Put every run of the spec into the store's runs table; a run that is there already stays as it is."""
    known = set(store.runs()["run_id"].to_pylist())
    for run in spec.runs:
        if run.id not in known:
            store.add_run(run_row(spec, run))


def run_row(spec: ExperimentSpec, run: AnyRun) -> dict[str, object]:
    """Return the run's row of `records.RUNS`; what it is and costs is its own to say."""
    return {"experiment": spec.name, **columns(run), "code_sha256": code_sha256()}


def unfinished(spec: ExperimentSpec) -> list[AnyRun]:
    """Return the spec's runs that its store, if there is one, does not hold to the end.

    After each stand the jobs that are still to measure its checkpoints, where those are jobs of their own.
    """
    try:
        store: Store | None = Store.open(spec.store)
    except NotAStoreError:
        store = None
    states = store.states() if store is not None else {}
    left = [run for run in spec.runs if run.id not in states or states[run.id].outcome != "done"]
    apart = [run for run in left if run.execution.evaluate_on is not None or _is_trained(states, run.id)]
    begun = [run for run in apart if run.id in states]
    owed = {run.id: evaluation_steps(run) for run in apart}
    if store is not None and begun:
        owed |= lacking(store, begun)
    return [job for run in left for job in (run, *_jobs(run, owed.get(run.id, ())))]


def _jobs(run: AnyRun, steps: Sequence[int]) -> list[EvaluationJob]:
    """The jobs that measure the run's checkpoints; a trainer of one's own measures itself."""
    return [evaluation_job(run, step) for step in steps] if isinstance(run, RunSpec) else []


def _is_trained(states: Mapping[str, RunState], run_id: str) -> bool:
    return run_id in states and states[run_id].outcome == TRAINED


def check_placeable(runs: list[AnyRun], cluster: ClusterSeen) -> None:
    """Raise RequestError, in a few lines, if some run cannot execute on the cluster, before anything is started.

    A slice that is broken or draining just now counts as there: it may come back, and the run waits for it.
    """
    capacity = dict(cluster.pools)
    for item in cluster.slices:
        capacity[item.type] = capacity.get(item.type, 0) + 1
    needs: dict[tuple[str, int], list[str]] = {}
    for run in runs:
        resources = run.execution.resources
        if resources.count > capacity.get(resources.kind, 0):
            needs.setdefault((resources.kind, resources.count), []).append(run.model.name)
    if not needs:
        return
    has = ", ".join(f"{count} x {kind}" for kind, count in sorted(capacity.items())) or "nothing"
    lines = [f"the cluster cannot hold {sum(map(len, needs.values()))} of {counted(len(runs), 'run')}; it has {has}"]
    lines += [f"  {count} x {kind} each: {', '.join(names)}" for (kind, count), names in needs.items()]
    lines.append("  connect to a cluster that has them with --address, or change execution.resources in the spec")
    raise RequestError("\n".join(lines))


def known_runs(
    runs: Sequence[AnyRun], store: Store, price: PriceSpec, speeds: Mapping[str, float], first_steps: Mapping[str, int]
) -> list[core.Run]:
    """Return the runs and jobs as the core sees them when a launch begins.

    `speeds` are steps a second by run id where they were measured, `first_steps` where each run goes on.
    """
    states, measured = store.states(), dict(speeds)
    # With nothing left to measure it was cut off before its end was recorded; started again it records that.
    trained = {job.run_id for job in jobs_of(runs) if _is_trained(states, job.run_id)}
    measured |= {job.id: 1 / evaluation_s(job, measured[job.run_id]) for job in jobs_of(runs) if job.run_id in measured}
    return [
        core_run(
            run, price, step=first_steps[run.id], steps_per_s=measured.get(run.id),
            starts=states[run.id].attempt if run.id in states else 0, trained=run.id in trained,
        )
        for run in runs
    ]  # fmt: skip


def core_run(
    run: AnyRun, price: PriceSpec, *, step: int = 0, steps_per_s: float | None = None, starts: int = 0,
    trained: bool = False,
) -> core.Run:  # fmt: skip
    """Return the run as the core sees it: what it needs, what it costs, and from where it goes on.

    A job that measures a checkpoint is one step; `steps_per_s` is then of such jobs.
    """
    execution = run.execution
    usd = usd_per_hour(execution.resources, price) or 0.0
    seconds = 1 / steps_per_s if steps_per_s else None
    if isinstance(run, EvaluationJob):
        return core.Run(
            run.id, execution.resources.kind, execution.resources.count, execution.priority, execution.max_retries,
            steps=1, macs_per_step=evaluation_macs_at(run, run.measures), report_steps=1, seconds_per_step=seconds,
            usd_per_hour=usd, step=step, of=run.run_id, at_step=run.measures,
        )  # fmt: skip
    return core.Run(
        run.id,
        execution.resources.kind,
        execution.resources.count,
        execution.priority,
        execution.max_retries,
        steps=run.train.steps,
        macs_per_step=step_macs(run),
        report_steps=run.train.log_every,
        seconds_per_step=seconds,
        usd_per_hour=usd,
        step=step,
        starts=starts,
        phase=core.Phase.DONE if trained else core.Phase.WAITING,
    )
