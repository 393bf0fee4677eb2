"""A spec as a campaign: what each of its runs needs, costs and takes, by the same reckoning as `dit-grid plan`.

Raises RequestError where that says no speed, or where the virtual cluster has nothing that a run could execute on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dit_grid.experiments.running.owed_evaluations import EvaluationJob, evaluation_job, evaluation_steps, settings_due
from dit_grid.experiments.spec import AnyRun, ExperimentSpec, PriceSpec
from dit_grid.experiments.spec.price import SINGLE
from dit_grid.experiments.spec.slices import slice_hosts
from dit_grid.orchestrator import core
from dit_grid.orchestrator.compiling.roofline import Roofline
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.planning.account import named, tariff
from dit_grid.orchestrator.planning.plan import PlanRow, Speed, evaluation_s, plan, times_evaluated
from dit_grid.orchestrator.planning.terms import FEED, FIRST_READING, coming_up, heldout_reading
from dit_grid.orchestrator.planning.work import core_run
from dit_grid.orchestrator.simulation.campaign import Lines, Outcome, simulate
from dit_grid.orchestrator.simulation.cluster import Pace, Scaling
from dit_grid.orchestrator.simulation.faults import Faults

REPORTS_A_CHECKPOINT = 4
"""Reports between two checkpoints, where that divides: enough to see what a preemption loses, and quick."""


@dataclass(frozen=True)
class Campaign:
    """Everything that a simulation needs but the seed."""

    runs: tuple[core.Run, ...]
    paces: Mapping[str, Pace]
    slices: Mapping[str, int]
    pools: Mapping[str, int]
    spec: ExperimentSpec
    faults: Faults

    def outcome(self, seed: int, lines: Lines | None = None) -> Outcome:
        """Return what the campaign takes with this seed."""
        hosts, options, price = {kind: slice_hosts(kind) for kind in self.slices}, self.spec.cluster, self.spec.plan
        scaling = Scaling(price.come_s, price.go_s) if price.capacity == "autoscaled" else None
        if scaling is not None:  # of a slice that is still to come nobody says that it failed to start
            options = options.model_copy(update={"start_timeout_s": options.start_timeout_s + scaling.come_s})
        found = simulate(
            self.runs, self.paces, self.slices, options=options, hosts=hosts, pools=self.pools, faults=self.faults,
            seed=seed, lines=lines, scaling=scaling, tariff=tariff(self.spec),
        )  # fmt: skip
        return replace(found, billed_usd=billed_usd(price, found.up_hours))

    def on(self, slices: Mapping[str, int]) -> "Campaign":
        """Return the same campaign on another number of slices."""
        return replace(self, slices=slices)


def billed_usd(price: PriceSpec, hours: Mapping[str, float]) -> float | None:
    """Return what so many hours of each slice type, of GPUs and of cores cost; None where one has no price."""
    costs = [None if (hourly := price.hourly(kind)) is None else hourly * of_kind for kind, of_kind in hours.items()]
    return None if None in costs else sum(cost or 0.0 for cost in costs)


def slices_needed(spec: ExperimentSpec) -> dict[str, int]:
    """Return what the spec says that it reserves; else one slice of each type that a run or its evaluations name."""
    return dict(spec.plan.slices) or {kind: 1 for kind in named(spec) if kind not in SINGLE}


def campaign(
    spec: ExperimentSpec, slices: Mapping[str, int], pools: Mapping[str, int], faults: Faults,
    speeds: Mapping[str, Speed] | None = None, rooflines: Mapping[str, Roofline] | None = None,
) -> Campaign:  # fmt: skip
    """Return the spec's campaign on so many slices of each type, and cores and GPUs (`pools`)."""
    rows = {row.run_id: row for row in plan(spec, speeds, rooflines)}
    jobs = [evaluation_job(run, s) for run in spec.networks if run.execution.evaluate_on for s in evaluation_steps(run)]
    _check(spec.runs, jobs, rows, {**slices, **pools})
    paces = {run.id: _pace(run, rows[run.id]) for run in spec.runs}
    runs = [
        replace(
            core_run(run, spec.plan, steps_per_s=rows[run.id].steps_per_s),
            report_steps=paces[run.id].report_every or paces[run.id].checkpoint_every,
        )
        for run in spec.runs
    ]
    for job in jobs:
        seconds = evaluation_s(job, rows[job.run_id].steps_per_s or 1.0)
        paces[job.id] = _job_pace(job, seconds, spec.plan)
        runs.append(core_run(job, spec.plan, steps_per_s=1 / seconds))
    return Campaign(tuple(runs), paces, slices, pools, spec, faults)


def _check(
    runs: Sequence[AnyRun], jobs: Sequence[AnyRun], rows: Mapping[str, PlanRow], has: Mapping[str, int]
) -> None:  # fmt: skip
    unknown = [run.model.name for run in runs if rows[run.id].steps_per_s is None]
    if unknown:
        raise RequestError(
            f"no speed is known for {', '.join(unknown)}; set plan.mfu in the spec, "
            "or measure: dit-grid plan --calibrate"
        )
    homeless: dict[str, list[str]] = {}
    for run in (*runs, *jobs):
        resources = run.execution.resources
        if resources.count > has.get(resources.kind, 0):
            homeless.setdefault(f"{resources.count} x {resources.kind}", []).append(run.model.name)
    if homeless:
        lines = [f"  {what}: {', '.join(dict.fromkeys(names))}" for what, names in homeless.items()]
        there = ", ".join(f"{kind}={count}" for kind, count in has.items()) or "nothing"
        raise RequestError("\n".join([f"runs that the virtual cluster ({there}) cannot hold; add --slices:", *lines]))


def _job_pace(job: EvaluationJob, seconds: float, price: PriceSpec) -> Pace:
    reading = heldout_reading(job, price, [settings_due(job, job.measures)])
    first_s = {term.name: term.hours * 3600 for term in (*coming_up(job.execution.resources, price), *reading)}
    start_s = first_s.pop("start", 0.0)
    return Pace(seconds, 1, start_s=start_s, compile_s=sum(first_s.values()))


def _pace(run: AnyRun, row: PlanRow) -> Pace:
    checkpoint = min(run.execution.checkpoint_every, run.train.steps)
    inside = run.execution.evaluate_on is None
    steps_s = run.train.steps / (row.steps_per_s or 1.0)
    beside = {term.name: term.hours * 3600 for term in row.terms}
    late_s = beside.get(FEED, 0.0) + beside.get("writing checkpoints", 0.0)
    return Pace(
        seconds_per_step=(steps_s + late_s) / run.train.steps,
        checkpoint_every=checkpoint,
        report_every=checkpoint // REPORTS_A_CHECKPOINT if checkpoint % REPORTS_A_CHECKPOINT == 0 else 0,
        evaluate_every=run.evaluate.every if inside else 0,
        measured_every=0 if inside else run.evaluate.every,
        evaluation_s=(row.eval_hours or 0.0) * 3600 / times_evaluated(run) if inside else 0.0,
        start_s=beside.get("start", 0.0),
        compile_s=beside.get("compilation", 0.0) + beside.get(FIRST_READING, 0.0),
    )
