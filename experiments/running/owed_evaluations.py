"""Evaluations as jobs of their own: which a run owes, which of them are in the store, and what such a job is.

Carrying one out is `checkpoint_evaluation`; nothing here needs JAX, so that a scheduler can ask.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import PositiveInt

from dit_grid.experiments.metrics.names import HELDOUT_LOSS, IMAGES
from dit_grid.experiments.running.measured_steps import MeasuredSteps
from dit_grid.experiments.spec.any_run import AnyRun, run_from
from dit_grid.experiments.spec.execution import ResourceSpec
from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store

TRAINED = "trained"
"""The outcome of an attempt that trained to the last step while some of its checkpoints are still to be measured."""

SAMPLED = ("samples", "sampler", "sampler_steps", "guidance", "guidance_channels", "labels", "decoder")
"""What tells measurements of samples apart, by the columns of `records.EVALS`. Rows of older stores lack some, which is
the default."""

COLUMNS = ("run_id", "step", "metric", "weights", "seed", "reference", *SAMPLED)
"""What is read of the rows to tell which measurements they are."""

_JOB = re.compile(r"(.+)\.eval-(\d+)")


class EvaluationJob(RunSpec):
    """The measuring of one checkpoint of a run: the run's spec, with the resources of its evaluations, and the step.

    Its `id` is the run's with the step, for whoever schedules it; rows are written under the run's.
    """

    measures: PositiveInt
    trains_on: ResourceSpec

    @property
    def id(self) -> str:
        """The run's id and the step, e.g. `xl-2-3f9c2a41.eval-50000`."""
        return job_id(self.run_id, self.measures)

    @property
    def run_id(self) -> str:
        """The id of the run whose checkpoint is measured."""
        return self.run.id

    @property
    def run(self) -> RunSpec:
        """The run whose checkpoint is measured, as it executes here."""
        return RunSpec.model_construct(**{name: getattr(self, name) for name in RunSpec.model_fields})


def job_id(run_id: str, step: int) -> str:
    """The id of the job that measures the run's checkpoint at `step`."""
    return f"{run_id}.eval-{step}"


def parsed_job_id(name: str) -> tuple[str, int] | None:
    """(run id, step) of the id of an evaluation job; None for that of a run."""
    found = _JOB.fullmatch(name)
    return (found[1], int(found[2])) if found else None


def job_from_json(text: str) -> AnyRun:
    """The run, or evaluation job, that `model_dump_json` wrote."""
    fields = json.loads(text)
    return EvaluationJob.model_validate(fields) if "measures" in fields else run_from(fields)


def evaluation_job(run: RunSpec, step: int) -> EvaluationJob:
    """The job that measures the run's checkpoint at `step`, on what the run says, or else on what it trains on."""
    execution = run.execution.model_copy(update={"resources": run.execution.evaluate_on or run.execution.resources})
    fields = {name: getattr(run, name) for name in RunSpec.model_fields} | {"execution": execution}
    return EvaluationJob.model_construct(**fields, measures=step, trains_on=run.execution.resources)


def jobs_of(runs: Iterable[AnyRun]) -> list[EvaluationJob]:
    """Those of the runs that measure a checkpoint."""
    return [run for run in runs if isinstance(run, EvaluationJob)]


def trainings_of(runs: Iterable[AnyRun]) -> list[AnyRun]:
    """Those of the runs that train."""
    return [run for run in runs if not isinstance(run, EvaluationJob)]


def settings_due(run: AnyRun, step: int) -> list[EvalSetting]:
    """The settings that are measured after `step` updates; none where the run is not measured then."""
    ended = step == run.train.steps
    if not ended and step % run.evaluate.every:
        return []
    return [setting for setting in run.evaluate.settings if ended or setting.when != "end"]


def evaluation_steps(run: AnyRun) -> list[int]:
    """The steps at which the run is measured, in order."""
    whens = [setting.when for setting in run.evaluate.settings]
    return list(MeasuredSteps.of(run.evaluate.every, run.train.steps, whens) or ())


def lacking(store: Store, runs: Iterable[AnyRun]) -> dict[str, list[int]]:
    """Run id -> the steps whose measurements are not all in the store, in order, for each of the runs; one read."""
    asked = list(runs)
    found: dict[str, dict[int, Counter[tuple[Any, ...]]]] = {run.id: {} for run in asked}
    for row in store.evals(list(found), columns=COLUMNS).to_pylist() if asked else ():
        found[row["run_id"]].setdefault(row["step"], Counter())[_key(row)] += 1
    return {
        run.id: [s for s in evaluation_steps(run) if not _asked(run, s) <= found[run.id].get(s, Counter())]
        for run in asked
    }


def is_recorded(store: Store, run_id: str, step: int) -> bool:
    """Whether all that the run is to be measured by at `step` is in the store, which also holds its spec."""
    spec = store.runs([run_id], columns=["spec"])["spec"].to_pylist()
    if not spec:
        return False
    run = run_from(json.loads(spec[0]))
    return step not in lacking(store, [run])[run.id]


def _asked(run: AnyRun, step: int) -> Counter[tuple[Any, ...]]:
    """What rows there must be, by what tells them apart; settings that differ in more than that are counted."""
    return Counter(
        _key({"metric": name, **_columns(setting)}) for setting in settings_due(run, step) for name in setting.metrics
    )


def _columns(setting: EvalSetting) -> dict[str, Any]:
    """What the setting's rows hold."""
    own = {"sampler": setting.sampler_name, "sampler_steps": setting.evaluations}
    return setting.model_dump() | own | {"labels": None if setting.labels == "data" else setting.labels}


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    common = row["metric"], row["weights"], row["seed"]
    if row["metric"] == HELDOUT_LOSS:  # of as many images as there are, and nothing is sampled
        return common
    reference = (row["reference"] or "") if row["metric"] in IMAGES else ""  # a dataset's own metrics have one each
    return (*common, reference, *(row[name] or None for name in SAMPLED))
