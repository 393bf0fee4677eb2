"""Runs that could be bought next: the cells of a spec, other seeds, named models; each with what `plan` says it costs.

What they would teach is `dit_grid.analysis.forecasting.design`; nothing is started here.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dit_grid.experiments.spec import AnyRun, ExperimentSpec, RunSpec
from dit_grid.experiments.spec.any_run import run_from
from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.store import NotAStoreError, Store
from dit_grid.model import accounting
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.control.requests import CANCEL, PAUSE, asked, standing
from dit_grid.orchestrator.planning.calibrate import measured_speeds
from dit_grid.orchestrator.planning.plan import PlanRow, plan

if TYPE_CHECKING:
    import pandas as pd

    from dit_grid.analysis import Results


Some = TypeVar("Some", bound=AnyRun)


def spec_frame(spec: ExperimentSpec, runs: Iterable[AnyRun]) -> "pd.DataFrame":
    """Return a row a run with the columns of `Results.runs`, as the store will hold it; costs from `accounting`."""
    import pandas as pd

    from dit_grid.analysis.results.unknown import COUNTS, whole_numbers
    from dit_grid.orchestrator.planning.work import run_row

    rows = [run_row(spec, run) for run in runs]
    names = list(dict.fromkeys((*(name for row in rows[:1] for name in row), *COUNTS)))
    frame = whole_numbers(pd.DataFrame(rows).reindex(columns=names))
    frame = frame.assign(run_seed=frame["seed"])
    return frame.assign(gmacs=frame["forward_macs"] / 1e9)


def settled(spec: ExperimentSpec, results: "Results") -> dict[str, str]:
    """Return run id -> done, failed, cancelled or paused, of runs that a launch would not bring further unasked.

    One that failed would be started again, and fail again until somebody removed the cause.
    """
    states = zip(results.runs["run_id"], results.runs["state"], strict=True)
    ended = {run_id: state for run_id, state in states if state in ("done", "failed", "cancelled")}
    try:
        requests = standing(asked(Store.open(spec.store).files))
    except NotAStoreError:
        requests = {}
    words = {CANCEL: "cancelled", PAUSE: "paused"}
    return {run_id: words[what] for run_id, what in requests.items()} | ended


def in_family(frame: "pd.DataFrame", results: "Results", points: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows that belong to the law with these points: runs of another block or length tell nothing."""
    from dit_grid.analysis.results.families import FAMILY, having

    runs = results.runs[results.runs["model"].isin(points["model"])]
    if runs.empty:
        return frame
    family = runs.value_counts(list(FAMILY), dropna=False).index[0]
    return frame[having(frame, dict(zip(FAMILY, family, strict=True)))]


def recorded_spec(results: "Results") -> ExperimentSpec:
    """Return a spec of the runs in the store; of other programs' runs, which nobody here can launch, there are none."""
    runs: list[AnyRun] = []
    for text in results.runs["spec"]:
        with contextlib.suppress(ValueError, TypeError):
            runs.append(run_from(json.loads(text)))
    names = results.runs["experiment"].dropna().mode()
    name = str(names.iloc[0]) if len(names) else "recorded"
    return ExperimentSpec(name=name, store=results.where, runs=tuple(runs), file=results.where)


def run_like(template: RunSpec, row: Mapping[str, Any]) -> RunSpec:
    """Return the template's run with the network of a row of `named_models`."""
    network = {key: int(row[key]) for key in ("patch", "width", "depth", "heads")}
    return changed(template, model=template.model.model_dump() | network | {"size": row["size"]})


def changed(run: Some, **fields: Any) -> Some:
    """Return the run with other fields, checked again; `model_copy` would keep the id that was reckoned before."""
    return cast(Some, type(run).model_validate(run.model_dump() | fields))


def template_for(spec: ExperimentSpec, row: Mapping[str, Any]) -> RunSpec:
    """Return the run of the spec, of the row's block, batch and steps, that is nearest to the row in compute."""
    same = [run for run in spec.networks if (run.train.batch, run.train.steps) == (row["batch"], row["steps"])]
    same = [run for run in same if run.model.block == row["block"]] or same or list(spec.networks)
    return min(same, key=lambda run: abs(accounting.forward_macs(run.network) - row["forward_macs"]))


def named_runs(spec: ExperimentSpec, rows: "pd.DataFrame") -> list[AnyRun]:
    """Return a run of the spec's kind for each row of `named_models`; a cell of the spec is that very run.

    Raises RequestError where the spec has only trainers of its own, whose models outside it nobody can make up.
    """
    if not spec.networks:
        raise RequestError("--models: names no model of a trainer of your own; add a run of it to the spec's grid")
    known = {run.model.name: run for run in spec.runs}
    return [known.get(row["model"]) or run_like(template_for(spec, row), row) for row in rows.to_dict("records")]  # type: ignore[arg-type]


def next_seeds(runs: Sequence[AnyRun], measured: Mapping[str, Sequence[int]]) -> list[AnyRun]:
    """Return for each model that was measured (model -> its seeds) its run with the next seed up."""
    first = {run.model.name: run for run in reversed(runs)}
    return [changed(first[model], seed=max(seeds) + 1) for model, seeds in measured.items() if model in first]


def priced(spec: ExperimentSpec, runs: Sequence[AnyRun]) -> list[PlanRow]:
    """Return what each run costs by the spec's prices, at speeds measured for it or for another seed of it, if any."""
    everything = {run.id: run for run in [*spec.runs, *runs]}
    asked = spec.model_copy(update={"runs": tuple(everything.values())})
    speeds = measured_speeds(asked)
    twins = {_work(run): speeds[run.id] for run in asked.runs if run.id in speeds}
    known = {run.id: speeds.get(run.id) or twins.get(_work(run)) for run in runs}
    return plan(
        spec.model_copy(update={"runs": tuple(runs)}), {run_id: speed for run_id, speed in known.items() if speed}
    )


def _work(run: AnyRun) -> str:
    """What a step of the run computes, and on what: equal for seeds of one model."""
    if isinstance(run, TrainerRun):
        return f"{run.trainer} {run.config} {run.execution.resources}"
    return f"{run.network} {run.train.batch} {run.train.dtype} {run.execution.resources}"


def hours_as_measured(results: "Results", frame: "pd.DataFrame") -> "list[float | None]":
    """Return hours of training of each row at the GMACs a second of the measured run whose updates are nearest in size.

    What was measured is where those runs executed; None where no speed was recorded, or no compute is known.
    """
    import numpy as np

    from dit_grid.analysis.results.unknown import update_gmacs

    speeds = results.train.groupby("run_id")["steps_per_s"].median().dropna()
    measured = update_gmacs(results.runs).set_axis(results.runs["run_id"]).dropna()
    measured = measured[measured.index.isin(speeds.index)]
    asked = update_gmacs(frame)
    if measured.empty:
        return [None] * len(frame)
    rates, sizes = (speeds[measured.index] * measured).to_numpy(), np.log(measured.to_numpy())
    nearest = [int(np.argmin(np.abs(sizes - np.log(size)))) for size in asked]
    hours = asked.to_numpy() * frame["steps"].to_numpy() / rates[nearest] / 3600
    return [None if np.isnan(one) else float(one) for one in hours]
