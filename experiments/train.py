"""One run from its first step, or its newest checkpoint, to its last: update, log, evaluate, checkpoint.

Neither Ray nor YAML nor the clock decides anything here: the same spec gives the same rows, bit for bit, however often
it was interrupted.
"""

import math
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np

from dit_grid.experiments.checkpoints import Checkpoints, Restored
from dit_grid.experiments.context import Context, Progress, code_sha256, versions
from dit_grid.experiments.data.dataset import DataError, Dataset
from dit_grid.experiments.data.registry import dataset_named
from dit_grid.experiments.evaluate import Evaluation, npz_bytes
from dit_grid.experiments.failures import SUPERSEDED, NonFiniteLossError, classify, failure_detail
from dit_grid.experiments.optimizer import learning_rate
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Attempt, RowWriter, StorePaths, SupersededError
from dit_grid.experiments.update import Losses, Program, TrainState
from dit_grid.model import accounting

MEANS = ("loss", "mse", "vb", "grad_norm")
"""What is averaged over a logged window, each update weighing the same."""


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
    """
    checkpoints = Checkpoints(context.store, run.id)
    attempt = None
    try:
        dataset = dataset_named(run.data.name, run.data.path)
        _check_fit(run, dataset)
        program = Program(run)
        restored = checkpoints.restore_newest(program.init())
        facts = _facts(dataset, restored.unreadable)
        attempt = context.store.begin_attempt(run.id, restored.step, facts, resumed_attempt=restored.attempt)
        return _Training(run, context, dataset, program, checkpoints, attempt, restored).to_the_end()
    except Exception as error:
        _record_failure(context, run.id, attempt, checkpoints.live(), error)
        raise
    finally:
        checkpoints.close()


def _record_failure(
    context: Context, run_id: str, attempt: Attempt | None, live: list[tuple[int, int]], error: Exception
) -> None:
    """End the attempt as failed. One that failed before it began is given a number, so that its cause is kept."""
    if classify(error) == SUPERSEDED:
        return
    step = live[-1][0] if live else 0
    attempt = attempt or context.store.begin_attempt(run_id, resume_step=step)
    context.store.end_attempt(attempt, "failed", failure_detail(error, step))


class _Training:
    """One attempt: its parts, so that the loop reads as the rhythm of the run."""

    def __init__(
        self, run: RunSpec, context: Context, dataset: Dataset, program: Program, checkpoints: Checkpoints,
        attempt: Attempt, restored: Restored,
    ) -> None:  # fmt: skip
        self.run, self.context, self.dataset, self.program = run, context, dataset, program
        self.checkpoints, self.attempt, self.restored = checkpoints, attempt, restored
        self.evaluation = Evaluation(run, program, dataset)
        self.rate = learning_rate(run.train.optimizer, run.train.steps)
        self.metrics: dict[str, float] = {}
        self.data_wait_s = 0.0

    def to_the_end(self) -> Outcome:
        """Run from the restored state to the last step, or to a requested stop."""
        run, last = self.run, self.run.train.steps
        step, state, kind = self.restored.step, self.restored.state, "done"
        with self.context.store.writer(self.attempt, flush_s=run.execution.flush_s) as writer:
            self._report(step, "starting")
            while step < last:
                state, row = self._window(step, state)
                step += run.train.log_every
                writer.train(row)
                self._report(step, "training", row)
                if step % run.evaluate.every == 0 or step == last:
                    self._evaluate(step, state, writer)
                stopping = step < last and self.context.stop_requested()
                if step % run.execution.checkpoint_every == 0 or step == last or stopping:
                    self._checkpoint(step, state, writer)
                if stopping:
                    kind = "interrupted"
                    break
        self.checkpoints.wait()
        self.checkpoints.keep_newest(run.execution.keep_checkpoints)
        self.context.store.end_attempt(self.attempt, kind, detail={"step": step})
        self._report(step, kind)
        return Outcome(kind, self.attempt.number, step)

    def _window(self, step: int, state: TrainState) -> tuple[TrainState, dict[str, float | None]]:
        """Advance by one logged window; return the new state and the window's row."""
        started, self.data_wait_s, reports = time.perf_counter(), 0.0, []
        for images, labels in self._batches(step):
            state, losses = self.program.advance(state, images, labels)
            reports.append(losses)
        losses = jax.device_get(reports)
        elapsed = time.perf_counter() - started
        means = {name: float(np.mean([getattr(part, name) for part in losses], dtype=np.float64)) for name in MEANS}
        step += self.run.train.log_every
        self._check_finite(step, means)
        rate = self.run.train.log_every / elapsed
        return state, {
            "step": step,
            **means,
            **_bin_means(losses),
            "param_norm": float(self.program.norm(state.params)),
            "learning_rate": float(self.rate(step - 1)),
            "steps_per_s": rate,
            "mfu": self._mfu(rate),
            "data_wait_s": self.data_wait_s,
        }

    def _batches(self, step: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the window's batches, `steps_per_call` stacked in each: images (K, B, H, W, C) and labels (K, B)."""
        chunk, size = self.run.execution.steps_per_call, self.run.train.batch
        for first in range(step, step + self.run.train.log_every, chunk):
            began = time.perf_counter()
            batches = [self.dataset.batch(self.run.seed, s, size) for s in range(first, first + chunk)]
            stacked = np.stack([b.images for b in batches]), np.stack([b.labels for b in batches])
            self.data_wait_s += time.perf_counter() - began
            yield stacked

    def _evaluate(self, step: int, state: TrainState, writer: RowWriter) -> None:
        self._report(step, "evaluating")
        for row in self.evaluation.rows(step, state):
            writer.eval(row)
            self.metrics[str(row["metric"])] = float(row["value"])
        if self.evaluation.sheet is not None:
            name = StorePaths.sample_sheet(self.run.id, self.attempt.number, step)
            self.context.store.files.create(name, npz_bytes(samples=self.evaluation.sheet))
        self._report(step, "training")

    def _checkpoint(self, step: int, state: TrainState, writer: RowWriter) -> None:
        """Rows first, then the checkpoint that covers them: after any crash no row below a checkpoint is missing."""
        if self.context.store.superseded(self.attempt):
            raise SupersededError(f"attempt {self.attempt.number} of {self.run.id} was replaced by a later one")
        writer.flush()
        self.checkpoints.save(self.attempt, step, state)
        self.checkpoints.keep_newest(self.run.execution.keep_checkpoints + 1)

    def _check_finite(self, step: int, means: dict[str, float]) -> None:
        if not all(map(math.isfinite, means.values())):
            live = self.checkpoints.live()
            good = f"the last good checkpoint is at step {live[-1][0]}" if live else "there is no checkpoint yet"
            values = ", ".join(f"{name} {value:g}" for name, value in means.items())
            first = step - self.run.train.log_every + 1
            raise NonFiniteLossError(f"{self.run.id}: not finite between steps {first} and {step}: {values}; {good}")

    def _mfu(self, steps_per_s: float) -> float | None:
        peak = self.context.peak_flops_per_s
        if peak is None:
            return None
        macs = accounting.training_macs(self.run.network, self.run.train.batch, steps=1)
        return accounting.model_flops_utilization(macs * steps_per_s, peak)

    def _report(self, step: int, activity: str, row: dict[str, float | None] | None = None) -> None:
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


def _check_fit(run: RunSpec, dataset: Dataset) -> None:
    asked = (run.model.image_size, run.model.image_size, run.model.channels, run.model.classes)
    has = (*dataset.shape, dataset.classes)
    if asked != has:
        raise DataError(
            f"{run.id}: the network takes {asked[0]}x{asked[1]}x{asked[2]} and {asked[3]} classes, but dataset "
            f"{dataset.name} has {has[0]}x{has[1]}x{has[2]} and {has[3]}; set model.image_size, channels and classes"
        )


def _facts(dataset: Dataset, unreadable: tuple[str, ...]) -> dict[str, object]:
    device = jax.devices()[0]
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": device.device_kind,
        "devices": jax.device_count(),
        "platform": device.platform,
        "versions": versions(),
        "code_sha256": code_sha256(),
        "dataset_sha256": dataset.fingerprint,
        "unreadable_checkpoints": unreadable,
    }
