"""One evaluation job: a run's checkpoint measured by a process, or gang, of its own while its training goes on.

It begins no attempt. Its rows carry the attempt that wrote the checkpoint, so they count exactly as long as that
checkpoint does, and neither they nor the training's rows can end each other.
"""

import contextlib
import math
from typing import Any

from dit_grid.experiments.data.conditions import dataset_of
from dit_grid.experiments.evaluation.evaluation import Evaluation, npz_bytes
from dit_grid.experiments.evaluation.partial_state import Measured, PartialEvaluation, StoppedError
from dit_grid.experiments.running.owed_evaluations import TRAINED, EvaluationJob, lacking
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Attempt, Store, StorePaths
from dit_grid.experiments.training import process_group
from dit_grid.experiments.training.checkpoints import Checkpoints, LostCheckpointError
from dit_grid.experiments.training.context import Context, Progress
from dit_grid.experiments.training.failures import NonFiniteLossError
from dit_grid.experiments.training.kept_programs import program_of

NEVER = 10**9
"""Rows or seconds after which a writer flushes by itself: an evaluation's rows come all at once or not at all."""


def evaluate_checkpoint(job: EvaluationJob, context: Context) -> str:
    """Return `done` once the checkpoint's rows are in the store, `interrupted` if it was stopped or has to be repeated.

    What is in the store already is not measured again. All rows appear in one moment; a process that dies on the way,
    or is stopped, leaves a state from which the next one goes on to the same rows. Raises BadCheckpointError where the
    checkpoint is not there or cannot be read, NonFiniteLossError, DataError, and whatever the device raises. In a gang
    every process calls this, as with `train`.
    """
    store, run, step = context.store, job.run, job.measures
    checkpoints = Checkpoints(store, run.id)
    try:
        if process_group.by_leader(lambda: _is_measured(store, run, step)):
            return process_group.by_leader(lambda: _settled(store, run))
        return _Measuring(job, context, checkpoints).done()
    finally:
        checkpoints.close()


def settle(store: Store, run: RunSpec) -> None:
    """Record a trained run as done once nothing of it is left to measure, and drop checkpoints that were kept for that.

    Whoever finishes last does it: the training looks after it said `trained`, each evaluation after its rows are there.
    """
    attempts = store.attempts(run.id)
    last = attempts[-1] if attempts else None
    if last is None or last.outcome != TRAINED or last.end is None or lacking(store, [run])[run.id]:
        return
    said = {name: value for name, value in last.end.items() if name != "ended_unix_s"}
    if "summary" in said:
        said["summary"] = {**said["summary"], "metrics": _latest_metrics(store, run.id)}
    store.end_attempt(last.attempt, "done", detail=said)
    checkpoints = Checkpoints(store, run.id)
    try:
        checkpoints.keep_newest(run.execution.keep_checkpoints)
    finally:
        checkpoints.close()


class _Measuring:
    def __init__(self, job: EvaluationJob, context: Context, checkpoints: Checkpoints) -> None:
        self.job, self.run, self.step = job, job.run, job.measures
        self.context, self.store, self.checkpoints = context, context.store, checkpoints
        self.attempt = 0

    def done(self) -> str:
        dataset = process_group.by_all(lambda: dataset_of(self.run))
        self.attempt = process_group.by_leader(self._attempt)
        self._report("starting")
        program = program_of(self.run)
        evaluation = Evaluation(self.run, program, dataset)
        state = self.checkpoints.restore_by_all(self.attempt, self.step, program.state_shapes())
        self._report("evaluating")
        measured = Measured(self.store, self.run.id, self.attempt, self.step)
        partial = PartialEvaluation(measured, self.context.stop_requested)
        rows: list[dict[str, Any]] = []
        try:
            for row in evaluation.rows(self.step, state, partial):
                value = float(row["value"])
                if not math.isfinite(value):
                    raise NonFiniteLossError(f"{self.job.id}: {row['metric']} is {value:g}")
                rows.append(row)
        except StoppedError:
            return "interrupted"
        return process_group.by_leader(lambda: self._recorded(rows, evaluation, partial))

    def _attempt(self) -> int:
        """Return the attempt whose checkpoint at the step counts."""
        found = [attempt for step, attempt in self.checkpoints.live() if step == self.step]
        if not found:
            raise LostCheckpointError(f"{self.run.id} has no checkpoint at step {self.step} any more, to be measured")
        return found[-1]

    def _recorded(self, rows: list[dict[str, Any]], evaluation: Evaluation, partial: PartialEvaluation) -> str:
        writer = self.store.writer(Attempt(self.run.id, self.attempt, 0), rows_per_flush=NEVER, flush_s=NEVER)
        with writer:
            for row in rows:
                writer.eval(row)
        if sheet := evaluation.sheet_arrays():
            name = StorePaths.sample_sheet(self.run.id, self.attempt, self.step)
            with contextlib.suppress(FileExistsError):  # of the same checkpoint, by one that was thought to be gone
                self.store.files.create(name, npz_bytes(**sheet))
        partial.clear()
        self._report("evaluating", {str(row["metric"]): float(row["value"]) for row in rows})
        if not _is_measured(self.store, self.run, self.step):
            return "interrupted"  # the training went back before this checkpoint meanwhile, and will write it again
        return _settled(self.store, self.run)

    def _report(self, activity: str, metrics: dict[str, float] | None = None) -> None:
        if process_group.leads():
            self.context.report(Progress(self.job.id, self.attempt, 0, 1, activity, metrics=metrics or {}))


def _is_measured(store: Store, run: RunSpec, step: int) -> bool:
    return step not in lacking(store, [run])[run.id]


def _settled(store: Store, run: RunSpec) -> str:
    settle(store, run)
    return "done"


def _latest_metrics(store: Store, run_id: str) -> dict[str, float]:
    rows = store.evals([run_id], columns=["step", "metric", "value"]).to_pylist()
    return {row["metric"]: row["value"] for row in sorted(rows, key=lambda row: row["step"])}
