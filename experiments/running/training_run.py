"""One run from its first step, or its newest checkpoint, to its last: update, log, evaluate, checkpoint.

Neither Ray nor YAML nor the clock decides anything here: the same spec gives the same rows, bit for bit, however often
it was interrupted.
"""

import contextlib
import math
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from dit_grid.experiments.data.conditions import conditions, dataset_of
from dit_grid.experiments.data.dataset import Dataset
from dit_grid.experiments.data.feed import Feed
from dit_grid.experiments.data.remote import is_remote
from dit_grid.experiments.evaluation.evaluation import Evaluation, npz_bytes
from dit_grid.experiments.evaluation.partial_state import Measured, PartialEvaluation, StoppedError
from dit_grid.experiments.running.evaluation_job import settle
from dit_grid.experiments.running.owed_evaluations import TRAINED, lacking, settings_due
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Attempt, RowWriter, StorePaths, SupersededError
from dit_grid.experiments.training import process_group
from dit_grid.experiments.training.carried_state import TrainState
from dit_grid.experiments.training.checkpoints import Checkpoints, Restored
from dit_grid.experiments.training.context import Context, Progress, code_sha256, versions
from dit_grid.experiments.training.failures import SUPERSEDED, GangError, NonFiniteLossError, classify, failure_detail
from dit_grid.experiments.training.kept_programs import program_of
from dit_grid.experiments.training.optimizer import learning_rate
from dit_grid.experiments.training.sharding import own_rows
from dit_grid.experiments.training.update import Losses, Program
from dit_grid.model import accounting

MEANS = ("loss", "mse", "vb", "grad_norm")
"""What is averaged over a logged window, each update weighing the same."""


SUMMED_UP = ("loss", "steps_per_s", "mfu")
"""Of the last window, what the record of a run's end repeats, so that the status of many runs needs no table."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: `kind` is done or interrupted."""

    kind: str
    attempt: int
    step: int


def train(run: RunSpec, context: Context) -> Outcome:
    """Train and evaluate `run`, from its newest live checkpoint if there is one, and record how the attempt ended.

    Raises NonFiniteLossError, DataError for data that do not fit the network, SupersededError when a later attempt took
    over, and whatever the device raises; rows up to the last checkpoint are in the store in every case.

    Where `jax.distributed` is initialised with several processes, every one of them calls this with the same run and a
    context of its own, and all return or raise together: a stop asked of any of them stops all after the same step, and
    what one raises ends the others with GangError. Process 0 alone begins and ends the attempt, writes rows and
    reports; checkpoints are written and read by all, so the store must be one that all reach. A process that dies, or
    whose device fails inside a step, leaves the others waiting for it: who started them must end them.
    """
    checkpoints = Checkpoints(context.store, run.id)
    attempt = None
    try:
        dataset = process_group.by_all(lambda: dataset_of(run))
        program = program_of(run)
        restored = checkpoints.restore_newest(program.state_shapes())
        if restored.attempt is None:
            restored = restored._replace(state=program.init())
        attempt = _begin(context, run, dataset, restored)
        return _Training(run, context, dataset, program, checkpoints, attempt, restored).to_the_end()
    except Exception as error:
        _record_failure(context, run.id, attempt, checkpoints.live(), error)
        raise
    finally:
        checkpoints.close()


def _record_failure(
    context: Context, run_id: str, attempt: Attempt | None, live: list[tuple[int, int]], error: Exception
) -> None:
    """End the attempt as failed. One that failed before it began is given a number, so that its cause is kept.

    The process that failed has most to say, so it speaks for a gang; process 0 alone may give out numbers.
    """
    if classify(error) == SUPERSEDED or (attempt is None and not process_group.leads()):
        return
    if attempt is not None and isinstance(error, GangError):
        return
    step = live[-1][0] if live else 0
    attempt = attempt or context.store.begin_attempt(run_id, resume_step=step)
    context.store.end_attempt(attempt, "failed", failure_detail(error, step))


class _NoRows:
    """The writer of a process that leaves rows to process 0."""

    def train(self, row: dict[str, Any]) -> None:
        """Keep nothing."""

    def eval(self, row: dict[str, Any]) -> None:
        """Keep nothing."""


class _Training:
    """One attempt: its parts, so that the loop reads as the rhythm of the run."""

    def __init__(
        self, run: RunSpec, context: Context, dataset: Dataset, program: Program, checkpoints: Checkpoints,
        attempt: Attempt, restored: Restored,
    ) -> None:  # fmt: skip
        self.run, self.context, self.dataset, self.program = run, context, dataset, program
        self.checkpoints, self.attempt, self.restored = checkpoints, attempt, restored
        self.evaluation = Evaluation(run, program, dataset)
        rows = own_rows(program.mesh, run.train.batch)
        self.feed = Feed(dataset, run.seed, run.train.batch, run.train.steps, run.execution.steps_per_call, rows)
        self.rate = learning_rate(run.train.optimizer, run.train.steps)
        self.apart = run.execution.evaluate_on is not None
        self.metrics: dict[str, float] = {}
        self.newest: dict[str, float | None] = dict.fromkeys(SUMMED_UP)
        self.data_wait_s = 0.0
        self.failure: Exception | None = None

    def to_the_end(self) -> Outcome:
        """Run from the restored state to the last step, or to a requested stop."""
        run, last = self.run, self.run.train.steps
        step, state, kind = self.restored.step, self.restored.state, "done"
        with self._writer() as writer:
            self._report(step, "starting")
            if step and not self.apart and process_group.by_leader(lambda: self._lacks_evaluation(step)):
                # its checkpoint was written, and then the attempt ended
                kind = self._evaluate(step, state, writer, self.restored.attempt)
            while step < last and kind == "done":
                state, row = self._window(step, state)
                step += run.train.log_every
                writer.train(row)
                self.newest = {name: row[name] for name in SUMMED_UP}
                self._report(step, "training", row)
                stopping = step < last and process_group.anywhere(self.context.stop_requested())
                measured = bool(settings_due(run, step))
                due = step % run.execution.checkpoint_every == 0 or (self.apart and measured)
                if due or step == last or stopping:
                    self._checkpoint(step, state, writer)
                if stopping:
                    kind = "interrupted"
                    break
                if measured and not self.apart:  # after the checkpoint: sampling may be cut short, not training
                    kept = due or step == last
                    kind = self._evaluate(step, state, writer, self.attempt.number if kept else None)
        self.checkpoints.wait()
        process_group.by_leader(lambda: self._end(kind, step))
        self._report(step, kind)
        return Outcome(kind, self.attempt.number, step)

    def _lacks_evaluation(self, step: int) -> bool:
        """Whether the run was to be measured at this step and not all of it is in the store."""
        return bool(settings_due(self.run, step)) and step in lacking(self.context.store, [self.run])[self.run.id]

    def _owed(self) -> list[int]:
        """The steps whose checkpoints jobs of their own are still to measure."""
        return lacking(self.context.store, [self.run])[self.run.id] if self.apart else []

    def _writer(self) -> contextlib.AbstractContextManager[Any]:
        if process_group.leads():
            return self.context.store.writer(self.attempt, flush_s=self.run.execution.flush_s)
        return contextlib.nullcontext(_NoRows())

    def _end(self, kind: str, step: int) -> None:
        self.checkpoints.keep_newest(self.run.execution.keep_checkpoints, self._owed())
        said: dict[str, Any] = {"step": step}
        if self.newest["loss"] is not None:  # this attempt saw the last window; else the tables know more than it
            said["summary"] = {**self.newest, "metrics": self.metrics, "model": self.run.model.name,
                               "steps": self.run.train.steps, "device": jax.devices()[0].device_kind}  # fmt: skip
        trained = self.apart and kind == "done"
        self.context.store.end_attempt(self.attempt, TRAINED if trained else kind, detail=said)
        if trained:
            settle(self.context.store, self.run)  # every measurement may be there already

    def _window(self, step: int, state: TrainState) -> tuple[TrainState, dict[str, float | None]]:
        """Advance by one logged window; return the new state and the window's row."""
        started, self.data_wait_s, reports = time.perf_counter(), 0.0, []
        for images, condition in self._batches(step):
            state, losses = self.program.advance(state, images, condition)
            reports.append(losses)
        losses = jax.device_get(reports)
        process_group.nowhere(self.failure)
        elapsed = time.perf_counter() - started
        means = {name: float(np.mean([getattr(part, name) for part in losses], dtype=np.float64)) for name in MEANS}
        means["param_norm"] = float(losses[-1].param_norm)
        step += self.run.train.log_every
        self._check_finite(f"between steps {step - self.run.train.log_every + 1} and {step}", means)
        rate = self.run.train.log_every / elapsed
        return state, {
            "step": step,
            **means,
            **_bin_means(losses),
            "learning_rate": float(self.rate(step - 1)),
            "steps_per_s": rate,
            "mfu": self._mfu(rate),
            "data_wait_s": self.data_wait_s,
        }

    def _batches(self, step: int) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield the window's batches, `steps_per_call` stacked in each: images (K, B, H, W, C) and conditions.

        Data that one process of a gang cannot read must not keep the others waiting in a step: it goes on with blank
        images to the end of the window, where all learn of it and none keeps the window.
        """
        chunk = self.run.execution.steps_per_call
        for first in range(step, step + self.run.train.log_every, chunk):
            began = time.perf_counter()
            try:
                images, labels = self.feed.stacked(first)
            except Exception as error:
                if process_group.alone():
                    raise
                self.failure = self.failure or error
                images, labels = self._blank(chunk)
            condition = conditions(self.run, self.dataset, labels)
            self.data_wait_s += time.perf_counter() - began
            yield images, condition

    def _blank(self, chunk: int) -> tuple[np.ndarray, np.ndarray]:
        shape = chunk, self.run.train.batch
        return np.zeros((*shape, *self.dataset.shape), np.float32), np.zeros(shape, np.int32)

    def _evaluate(self, step: int, state: TrainState, writer: RowWriter, attempt: int | None) -> str:
        """Write the rows of an evaluation and return `done`, or `interrupted` if it is to go on in another process.

        `attempt` wrote the checkpoint of the step; without one the evaluation cannot go on, and is not interrupted.
        """
        self._report(step, "evaluating")
        measured = Measured(self.context.store, self.run.id, attempt, step) if attempt is not None else None
        partial = PartialEvaluation(measured, self.context.stop_requested)
        try:
            for row in self.evaluation.rows(step, self.program.whole(state), partial):
                value = float(row["value"])
                self._check_finite(f"in the evaluation of step {step}", {str(row["metric"]): value})
                writer.eval(row)
                self.metrics[str(row["metric"])] = value
        except StoppedError:
            return "interrupted"
        process_group.by_leader(lambda: self._keep_evaluation(step, writer, partial))
        self._report(step, "training")
        return "done"

    def _keep_evaluation(self, step: int, writer: RowWriter, partial: PartialEvaluation) -> None:
        self._keep_sheet(step)
        if partial.is_kept:
            writer.flush()
            partial.clear()

    def _keep_sheet(self, step: int) -> None:
        if sheet := self.evaluation.sheet_arrays():
            name = StorePaths.sample_sheet(self.run.id, self.attempt.number, step)
            self.context.store.files.create(name, npz_bytes(**sheet))

    def _checkpoint(self, step: int, state: TrainState, writer: RowWriter) -> None:
        """Rows first, then the checkpoint that covers them: after any crash no row below a checkpoint is missing."""
        process_group.by_leader(lambda: self._keep_rows(writer))
        self.checkpoints.save(self.attempt, step, self.program.whole(state))
        keep = self.run.execution.keep_checkpoints + 1
        process_group.by_leader(lambda: self.checkpoints.keep_newest(keep, self._owed()))

    def _keep_rows(self, writer: RowWriter) -> None:
        if self.context.store.superseded(self.attempt):
            raise SupersededError(f"attempt {self.attempt.number} of {self.run.id} was replaced by a later one")
        writer.flush()

    def _check_finite(self, when: str, found: dict[str, float]) -> None:
        if not all(map(math.isfinite, found.values())):
            live = self.checkpoints.live()
            good = f"the last good checkpoint is at step {live[-1][0]}" if live else "there is no checkpoint yet"
            values = ", ".join(f"{name} {value:g}" for name, value in found.items())
            raise NonFiniteLossError(f"{self.run.id}: not finite {when}: {values}; {good}")

    def _mfu(self, steps_per_s: float) -> float | None:
        peak = self.context.peak_flops_per_s
        if peak is None:
            return None
        macs = accounting.training_macs(self.run.network, self.run.train.batch, steps=1)
        return accounting.model_flops_utilization(macs * steps_per_s, peak)

    def _report(self, step: int, activity: str, row: dict[str, float | None] | None = None) -> None:
        if not process_group.leads():
            return
        known = {"loss": row["loss"], "steps_per_s": row["steps_per_s"]} if row else {}
        self.context.report(
            Progress(
                self.run.id, self.attempt.number, step, self.run.train.steps, activity, **known,
                metrics=dict(self.metrics),
            )
        )  # fmt: skip


def _bin_means(reports: list[Losses]) -> dict[str, float | None]:
    """Return the mean loss of each timestep bin over a window; None where no image fell into it."""
    sums, counts = (
        np.array([getattr(report, name) for report in reports], dtype=np.float64).sum(axis=0).tolist()
        for name in ("bin_sums", "bin_counts")
    )
    return {f"loss_t{i + 1}": s / n if n else None for i, (s, n) in enumerate(zip(sums, counts, strict=True))}


def _begin(context: Context, run: RunSpec, dataset: Dataset, restored: Restored) -> Attempt:
    """Begin the attempt on process 0 and return it on every process."""

    def number() -> int:
        facts = {**_facts(dataset, restored.unreadable), **_places(run), **context.facts}
        return context.store.begin_attempt(run.id, restored.step, facts, resumed_attempt=restored.attempt).number

    return Attempt(run.id, process_group.by_leader(number), restored.step)


def _places(run: RunSpec) -> dict[str, object]:
    """Where data and files lie, which the spec in the store leaves out: what measures the run later looks there."""
    data, files = run.data.path, {name: _absolute(place) for name, place in run.evaluate.files.items()}
    found = ({"data": _absolute(data)} if data else {}) | ({"files": files} if files else {})
    return {"places": found} if found else {}


def _absolute(place: str) -> str:
    return place if is_remote(place) else os.path.abspath(place)


def _facts(dataset: Dataset, unreadable: tuple[str, ...]) -> dict[str, object]:
    device = jax.devices()[0]
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": device.device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "platform": device.platform,
        "versions": versions(),
        "code_sha256": code_sha256(),
        "dataset_sha256": dataset.fingerprint,
        "unreadable_checkpoints": unreadable,
    }
