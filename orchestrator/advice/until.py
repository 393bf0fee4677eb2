"""A grid that stops when it knows enough: after each result, which waiting runs come first and whether to start more.

What is here advises; the scheduler core decides what runs. The statistics are `analysis.forecasting`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dit_grid.experiments.spec import ExperimentSpec, UntilSpec
from dit_grid.experiments.spec.any_run import step_macs
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.advice.final import ended, ends_known
from dit_grid.orchestrator.backends.contract import now
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.core.events import Event, Reordered
from dit_grid.orchestrator.planning.plan import evaluation_macs

if TYPE_CHECKING:
    import pandas as pd

    from dit_grid.analysis import Results
    from dit_grid.analysis.forecasting.target import Target


FINAL_TARGET = "final"
"""How a target begins that is each run's own end: `analysis.forecasting.target.FINAL`, which takes pandas to import."""


@dataclass(frozen=True)
class Advice:
    """Run id -> priority for runs not done, higher first; whether the target is met; and the reason for people."""

    priorities: Mapping[str, int] = field(default_factory=dict)
    stop: bool = False
    why: str = ""


Policy = Callable[["Results"], Advice]


def asked_until(spec: ExperimentSpec, target: str | None, metric: str | None, running: str) -> ExperimentSpec:
    """Return the spec with the target that the command line gives, or its own; checked before anything starts.

    Raises RequestError for a target that cannot be read, or that the metric's law does not have, or for a metric that
    no run measures.
    """
    if target is None and metric is not None:
        raise RequestError(f"--until-metric {metric}: say what is to be known of it, e.g. --until 'exponent ±0.05'")
    chosen = (
        spec.until
        if target is None
        else UntilSpec.model_validate({"target": target, "metric": metric, "running": running})
    )
    if chosen is None:
        return spec
    from dit_grid.analysis.forecasting.target import TargetError, check_metric, parse_target
    from dit_grid.analysis.results.metric_names import declare

    declare(run.model_dump(include={"metrics"}) for run in spec.runs)  # those of own trainers read as their spec says
    place = "--until" if target is not None else f"{spec.file}: until"
    try:
        check_metric(parse_target(chosen.target, with_width=True), chosen.metric or "fid")
    except TargetError as error:
        raise RequestError(f"{place}: {error}") from None
    measured = list(
        dict.fromkeys(name for run in spec.networks for one in run.evaluate.settings for name in one.metrics)
    )
    own = len(spec.networks) < len(spec.runs)  # which reports what it likes
    if chosen.metric is not None and chosen.metric not in measured and not own:
        place = "--until-metric" if target is not None else f"{spec.file}: until.metric"
        raise RequestError(
            f"{place} {chosen.metric}: no run measures it; runs measure {', '.join(measured) or 'nothing'}"
        )
    return spec.model_copy(update={"until": chosen})


def adviser(spec: ExperimentSpec, store: Store) -> Callable[[], Sequence[Event]]:
    """Return what `drive` asks whenever a run is done: the new order of the rest, and whether the target is met.

    For a target that is each run's own end, also asked while runs train: those whose end is known. A spec without
    `until` is not advised, and pays nothing for it. Nothing is said twice.
    """
    if spec.until is None:
        return lambda: ()
    if is_final(spec):
        return _ender(spec, store)
    wanted, said = spec.until, [Reordered(0.0)]
    work = {run.id: step_macs(run) * run.train.steps + evaluation_macs(run) for run in spec.runs}
    policy = until(wanted.target, work, wanted.metric)

    def advise() -> Sequence[Reordered]:
        from dit_grid.analysis import load

        advice = policy(load(str(store.paths.root)))
        order = tuple(sorted(advice.priorities, key=lambda run_id: -advice.priorities[run_id]))
        enough = advice.why if advice.stop else ""
        new = Reordered(now(), order, enough, advice.stop and wanted.running == "stop", advice.why)
        if (new.run_ids, new.enough, new.why) == (said[0].run_ids, said[0].enough, said[0].why):
            return ()
        said[0] = new
        return (new,)

    return advise


def is_final(spec: ExperimentSpec) -> bool:
    """Return whether the spec's target is each run's own end, which has to be looked at while runs train."""
    return spec.until is not None and spec.until.target.strip().startswith(FINAL_TARGET)


def _ender(spec: ExperimentSpec, store: Store) -> Callable[[], Sequence[Event]]:
    assert spec.until is not None
    wanted, said = spec.until, set[str]()
    macs = {run.id: step_macs(run) for run in spec.runs}

    def advise() -> Sequence[Event]:
        from dit_grid.analysis import load, main_metric
        from dit_grid.analysis.forecasting.target import parse_target

        results = load(str(store.paths.root))
        metric = wanted.metric or main_metric(set(results.evals["metric"]))
        target = parse_target(wanted.target, with_width=True)
        known = ends_known(results, target, metric, macs) if metric else {}
        new = {run_id: why for run_id, why in known.items() if run_id not in said}
        said.update(new)
        return ended(new)

    return advise


def until(text: str, costs: Mapping[str, float], metric: str | None = None) -> Policy:
    """Return the policy that runs a grid until a target such as `exponent ±0.05` or `forecast:XL/2 ±10%` is met.

    `costs` holds what each run of the spec costs, in any one unit; runs that are not in it are left alone. Without
    `metric` it is the main one of what was measured. Before a law can be fitted the cheapest runs come first; then
    those that narrow the target's interval most for their cost. What cannot narrow it comes last, dearest last.

    Raises RequestError for a target that cannot be read.
    """
    from dit_grid.analysis.forecasting.target import TargetError, parse_target

    try:
        target = parse_target(text, with_width=True)
    except TargetError as error:
        raise RequestError(f"--until: {error}") from None
    if target.what == FINAL_TARGET:
        raise RequestError(f"--until: {text!r} is about each run and not about the grid; `adviser` asks it")

    def policy(results: "Results") -> Advice:
        return _advice(results, target, costs, metric)

    return policy


def _advice(results: "Results", target: "Target", costs: Mapping[str, float], metric: str | None) -> Advice:
    from dit_grid.analysis import main_metric
    from dit_grid.analysis.forecasting.target import standing

    chosen = metric or main_metric(set(results.evals["metric"]))
    if chosen is None:
        return Advice(
            _in_order(sorted(costs, key=costs.__getitem__)), why="nothing measured yet; the cheapest runs first"
        )
    now = standing(results, target, chosen)
    if now.met:
        return Advice({}, True, f"target met: {now}")
    first = _by_gain(results, target, chosen, costs)
    return Advice(_in_order(first or sorted(costs, key=costs.__getitem__)), why=str(now))


def _in_order(run_ids: Sequence[str]) -> dict[str, int]:
    return {run_id: len(run_ids) - place for place, run_id in enumerate(run_ids)}


def _by_gain(results: "Results", target: "Target", metric: str, costs: Mapping[str, float]) -> list[str]:
    """Run ids, the one with the most expected narrowing per cost first; empty where no law can be fitted yet."""
    from dit_grid.analysis.fits import CannotFitError
    from dit_grid.analysis.forecasting.design import design_for, rank
    from dit_grid.analysis.results.frames import NotMeasuredError

    try:
        design = design_for(results, target, metric)
    except (CannotFitError, NotMeasuredError):
        return []
    left = _candidates(results, design.points["model"].tolist(), costs)
    useful = left[left["model"] != target.model]
    ranked = rank(design, useful)
    narrowing = list(ranked.loc[ranked["per_cost"] > 0, "run_id"])
    rest = left[~left["run_id"].isin(narrowing)].sort_values("cost", kind="stable")
    return [*narrowing, *rest["run_id"]]


def _candidates(results: "Results", measured: Sequence[str], costs: Mapping[str, float]) -> "pd.DataFrame":
    """The runs of the grid that are not done, each a new model or another seed of one that was measured."""
    from dit_grid.analysis.forecasting.design import ANOTHER_SEED, NEW_MODEL

    runs = results.runs[results.runs["run_id"].isin(costs) & (results.runs["state"] != "done")]
    kinds = [ANOTHER_SEED if model in measured else NEW_MODEL for model in runs["model"]]
    return runs.assign(kind=kinds, cost=runs["run_id"].map(dict(costs)))
