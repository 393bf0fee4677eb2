"""What a run's trainer says, put into the store: rows, checkpoints, progress, and what of it cannot be.

The rules are the store's: rows before the mark that covers them, steps that only grow, no number that is not finite.
How words arrive is `protocol`.
"""

import math
import operator
import threading
import time
from collections.abc import Mapping
from typing import Any

from dit_grid.experiments.spec.any_run import costs
from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.store import Attempt, StoreError, SupersededError
from dit_grid.experiments.store.provenance import SETTINGS, protocol
from dit_grid.experiments.store.records import TRAIN
from dit_grid.experiments.trainers.checkpoints import OwnCheckpoints
from dit_grid.experiments.training.context import Context, Progress
from dit_grid.experiments.training.failures import BAD_INPUT, NAN, classify
from dit_grid.model import accounting

COLUMNS = tuple(column.name for column in TRAIN.columns if column.name not in (*TRAIN.key, "attempt", "wall_unix_s"))
"""What `log` takes."""

LOGGED = frozenset({"step", *COLUMNS})

MEASURED_BY = tuple(name for name in SETTINGS if name not in ("metric", "code_sha256"))
"""What `evaluate` takes beside metrics: how they were measured."""

MESSAGES = ("log", "evaluate", "folder", "commit", "activity", "stopping", "fail")

ROWS_PER_FLUSH = 20_000
REPORT_EVERY_S = 0.5
"""A trainer may log a hundred thousand rows a second; nobody reads so many reports."""


class RefusedError(ValueError):
    """What the trainer said cannot be; the run ends with it. `failure_class` is bad-input or nan."""

    def __init__(self, message: str, failure_class: str = BAD_INPUT) -> None:
        super().__init__(message)
        self.failure_class = failure_class


class Recorder:
    """The numbers of one attempt on their way. Any thread may speak to it; the first failure is kept."""

    def __init__(self, run: TrainerRun, context: Context, attempt: Attempt, checkpoints: OwnCheckpoints) -> None:
        self.run, self.context, self.attempt, self.checkpoints = run, context, attempt, checkpoints
        self.writer = context.store.writer(attempt, rows_per_flush=ROWS_PER_FLUSH, flush_s=run.execution.flush_s)
        self.reached = self.logged = self.committed = attempt.resume_step
        self.failure: tuple[str, str] | None = None
        self.stopping = False
        self.metrics: dict[str, float] = {}
        self.newest: dict[str, float | None] = {}
        self._measured: set[tuple[int, str, str]] = set()
        self._one_at_a_time = threading.RLock()
        self._reported = 0.0
        self._macs = (costs(run).train_macs or 0) / run.train.steps

    def take(self, message: Mapping[str, Any]) -> Any:
        """Do what a message asks and return the answer, None for those that have none.

        Raises RefusedError for what cannot be; that, and whatever else fails here, is the run's failure from then on.
        """
        with self._one_at_a_time:
            try:
                return self._take(message)
            except Exception as error:
                kind = error.failure_class if isinstance(error, RefusedError) else classify(error)
                self.fail(kind, str(error))
                raise

    def fail(self, kind: str, message: str) -> None:
        """Note why the run ends, unless that is known already."""
        self.failure = self.failure or (kind, message)

    def finish(self) -> None:
        """Write what still waits, and leave as many checkpoints as were asked for."""
        with self._one_at_a_time:
            self.writer.flush()
            self.checkpoints.keep_newest(self.run.execution.keep_checkpoints)

    def report(self, activity: str) -> None:
        """Tell of progress."""
        self._reported = time.monotonic()
        self.context.report(
            Progress(
                self.run.id, self.attempt.number, self.reached, self.run.train.steps, activity,
                self.newest.get("loss"), self.newest.get("steps_per_s"), dict(self.metrics),
            )
        )  # fmt: skip

    def _take(self, message: Mapping[str, Any]) -> Any:
        match message.get("do"):
            case "log":
                row = {name: value for name, value in message.items() if name != "do"}
                if isinstance(row.get("step"), list):
                    self._log_many(row)
                else:
                    self._log(row)
            case "evaluate":
                self._evaluate(message)
            case "folder":
                return self.checkpoints.folder(self._step(message, 0))
            case "commit":
                return self._commit(self._step(message, self.attempt.resume_step))
            case "activity":
                self.report(str(message.get("activity")))
            case "stopping":
                self.stopping = True
            case "fail":
                self.fail(str(message.get("class")), str(message.get("message")))
            case unknown:
                raise RefusedError(f"unknown message {unknown!r}; known: {', '.join(MESSAGES)}")
        return None

    def _log(self, row: dict[str, Any]) -> None:
        step = self._step(row, self.logged + 1)
        if unknown := row.keys() - LOGGED:
            known = f"{', '.join(COLUMNS)}, and a metric of your own goes to evaluate"
            raise RefusedError(f"log of step {step}: no column {min(unknown)!r}; it takes {known}")
        for name, value in row.items():
            if name != "step" and (type(value) is not float or value - value != 0.0):
                _finite("log", step, name, value)
        if self._macs and self.context.peak_flops_per_s and row.get("steps_per_s"):
            row["mfu"] = self._utilization(row["steps_per_s"])
        self.writer.train(row)
        self._note(row)

    def _log_many(self, columns: dict[str, Any]) -> None:
        """Rows by their columns, as the client sends them; it is row by row that what is wrong with one is found."""
        if any(not isinstance(column, list) or len(column) != len(columns["step"]) for column in columns.values()):
            raise RefusedError("log: step is a list, so every column must be one, of the same length")
        if not self._are_sound(columns):
            for row in zip(*columns.values(), strict=True):
                self._log(dict(zip(columns, row, strict=True)))
        elif columns["step"]:
            if self._macs and self.context.peak_flops_per_s and all(columns.get("steps_per_s", [0])):
                columns["mfu"] = list(map(self._utilization, columns["steps_per_s"]))
            self.writer.train_many(columns)
            self._note({name: column[-1] for name, column in columns.items()})

    def _are_sound(self, columns: Mapping[str, list[Any]]) -> bool:
        """Whether nothing is wrong with any of these rows, told of all at once."""
        values = {name: column for name, column in columns.items() if name != "step"}
        steps = columns["step"]
        grow = set(map(type, steps)) <= {int} and all(map(operator.lt, [self.logged, *steps], steps))
        return (
            grow
            and steps[-1:] <= [self.run.train.steps]
            and values.keys() <= LOGGED
            and all(set(map(type, column)) <= {float} and all(map(math.isfinite, column)) for column in values.values())
        )

    def _utilization(self, steps_per_s: float) -> float:
        return accounting.model_flops_utilization(self._macs * steps_per_s, self.context.peak_flops_per_s or 0.0)

    def _note(self, row: dict[str, Any]) -> None:
        """Keep the newest row, and tell of it unless something was told just now."""
        self.logged, self.newest = row["step"], row
        self.reached = max(self.logged, self.reached)
        if time.monotonic() - self._reported > REPORT_EVERY_S:
            self.report("training")

    def _evaluate(self, message: Mapping[str, Any]) -> None:
        step = self._step(message, self.attempt.resume_step)
        metrics, settings = message.get("metrics") or {}, message.get("settings") or {}
        if unknown := set(settings) - set(MEASURED_BY):
            raise RefusedError(f"evaluate of step {step}: no setting {sorted(unknown)[0]!r}; "
                               f"it takes {', '.join(MEASURED_BY)}")  # fmt: skip
        if not metrics:
            raise RefusedError(f"evaluate of step {step}: no metric")
        how = protocol(settings)
        for name, value in metrics.items():
            _finite("evaluate", step, name, value)
            if (step, name, how) in self._measured:
                raise RefusedError(f"evaluate of step {step}: {name} was written already, measured in the same way")
        for name, value in metrics.items():
            self.writer.eval({**settings, "step": step, "metric": name, "value": value, "protocol": how})
            self._measured.add((step, name, how))
            self.metrics[name] = float(value)
        self.reached = max(step, self.reached)
        self.report("training")

    def _commit(self, step: int) -> int:
        """Rows first, then the mark: after any crash no row below a checkpoint is missing."""
        if step < self.committed:
            raise RefusedError(f"commit: step {step} went back; step {self.committed} was committed already")
        if self.context.store.superseded(self.attempt):
            raise SupersededError(f"attempt {self.attempt.number} of {self.run.id} was replaced by a later one")
        self.writer.flush()
        if step > self.committed or step == self.attempt.resume_step:
            try:
                self.checkpoints.commit(step)
            except StoreError:
                raise
            except ValueError as error:
                raise RefusedError(str(error)) from None
        self.committed, self.reached = step, max(step, self.reached)
        self.report("training")
        return step

    def _step(self, message: Mapping[str, Any], least: int) -> int:
        step, last = message.get("step"), self.run.train.steps
        if type(step) is not int:
            raise RefusedError(f"{message.get('do', 'log')}: step {step!r} is no whole number")
        if step > last:
            raise RefusedError(f"{message.get('do', 'log')}: step {step} is beyond the run's last, {last}")
        if step < least:
            raise RefusedError(f"{message.get('do', 'log')}: step {step} went back; the least it may be is {least}")
        return step


def _finite(what: str, step: int, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError(f"{what} of step {step}: {name} is {value!r}, not a number")
    if not math.isfinite(value):
        raise RefusedError(f"{what} of step {step}: {name} is {value}, not finite", NAN)
