"""One attempt of a run of somebody's own trainer: from its newest checkpoint to its end, or to a requested stop.

The trainer is a process of its own; this one keeps its rows and checkpoints, tells of its progress, and judges its end.
"""

import hashlib
import os
import socket
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.store import Attempt
from dit_grid.experiments.trainers.checkpoints import OwnCheckpoints, newest_whole
from dit_grid.experiments.trainers.ending import LOST, Ending, ending
from dit_grid.experiments.trainers.follower import Follower, attempt_of_the_leader
from dit_grid.experiments.trainers.program import Program, command, environment
from dit_grid.experiments.trainers.protocol import Line
from dit_grid.experiments.trainers.recorder import COLUMNS, MEASURED_BY, Recorder
from dit_grid.experiments.training.context import Context, code_sha256
from dit_grid.experiments.training.failures import ERROR, SUPERSEDED, failure_detail

GRACE_S = 5.0
"""How long a trainer whose run has failed already may take to end by itself; its last words say where it stood."""

DONE, INTERRUPTED, FAILED = "done", "interrupted", "failed"


class Ended(NamedTuple):
    """How the attempt ended: done, interrupted, or a failure's class and message; `step` is its newest checkpoint."""

    outcome: str
    step: int
    message: str = ""


def train(run: TrainerRun, context: Context) -> Ended:
    """Execute one attempt and record how it ended; a failure is an outcome. Raises what happens before it began."""
    if context.rank:
        return _followed(run, context)
    step, resumed, damaged = newest_whole(context.store, run.id)
    facts = {**_facts(run, context), "unreadable_checkpoints": damaged, **context.facts}
    attempt = context.store.begin_attempt(run.id, step, facts, resumed_attempt=resumed)
    checkpoints = OwnCheckpoints(context.store, attempt, resumed, run.execution.keep_checkpoints)
    recorder = Recorder(run, context, attempt, checkpoints)
    try:
        recorder.report("starting")
        code, errors, stopping = _executed(run, context, recorder, attempt)
        found = _judged(recorder, code, errors, stopping)
        recorder.finish()
    except Exception as error:
        detail = failure_detail(error)
        found = Ending(detail["class"], detail["message"], detail["traceback"])
    finally:
        checkpoints.close()
    return _recorded(recorder, found)


def _followed(run: TrainerRun, context: Context) -> Ended:
    """Execute a process of a gang that leaves rows and checkpoints to rank 0."""
    attempt, resumed = attempt_of_the_leader(run, context)
    follower = Follower(context.store, attempt, resumed)
    code, errors, stopping = _executed(run, context, follower, attempt)
    if code == 0:
        return Ended(INTERRUPTED if stopping else DONE, 0)
    found = ending(code, errors)
    return Ended(INTERRUPTED if stopping and found.failure_class == LOST else found.failure_class, 0, found.message)


def _executed(
    run: TrainerRun, context: Context, recorder: Recorder | Follower, attempt: Attempt
) -> tuple[int, str, bool]:  # fmt: skip
    """Run the trainer to its end; return its exit status, the end of its standard error, and whether it was to stop."""
    stopping, hopeless = False, 0.0
    with Line(_greeting(run, attempt), recorder.take) as line:
        variables = environment(context, line.address)
        with Program(command(run, context), run.folder, variables) as program:
            while (code := program.wait()) is None:
                if not stopping and context.stop_requested():
                    stopping = True
                    line.ask_to_stop()
                    if not line.used:
                        program.terminate()
                if recorder.failure and not hopeless:
                    hopeless = time.monotonic() + GRACE_S
                if hopeless and time.monotonic() > hopeless:
                    program.close()
                    break
            line.drain()
            return code or 0, program.errors(), stopping or recorder.stopping


def _greeting(run: TrainerRun, attempt: Attempt) -> dict[str, Any]:
    """What a process of the trainer is told when it connects."""
    return {
        "run": run.id, "attempt": attempt.number, "config": run.config, "seed": run.seed, "step": attempt.resume_step,
        "steps": run.train.steps, "log_every": run.train.log_every,
        "checkpoint_every": run.execution.checkpoint_every, "columns": COLUMNS, "settings": MEASURED_BY,
    }  # fmt: skip


def _judged(recorder: Recorder, code: int, errors: str, stopping: bool) -> Ending | None:
    """How the trainer failed; None where it came to its end, or stopped as it was asked."""
    if recorder.failure is not None:
        kind, message = recorder.failure
        return Ending(kind, message, ending(code, errors).words)
    if code:
        found = ending(code, errors)
        return None if stopping and found.failure_class == LOST else found
    last = recorder.run.train.steps
    if recorder.reached < last and not stopping:
        return Ending(
            ERROR,
            f"the trainer ended well, but only after step {recorder.reached} of {last}; log, evaluate or commit step "
            f"{last} before it ends, or set train.steps",
            "",
        )
    return None


def _recorded(recorder: Recorder, found: Ending | None) -> Ended:
    """Record the attempt's end and return it."""
    store, attempt, step = recorder.context.store, recorder.attempt, recorder.committed
    if found is None:
        outcome = DONE if recorder.reached >= recorder.run.train.steps else INTERRUPTED
        store.end_attempt(attempt, outcome, _said(recorder))
        recorder.report(outcome)
        return Ended(outcome, step)
    if found.failure_class != SUPERSEDED:
        detail = {"class": found.failure_class, "message": found.message, "step": step, "traceback": found.words}
        store.end_attempt(attempt, FAILED, detail)
    return Ended(found.failure_class, step, found.message)


def _said(recorder: Recorder) -> dict[str, Any]:
    """What the record of the end repeats, so that the status of many runs needs no table."""
    run, newest = recorder.run, recorder.newest
    if not newest:
        return {"step": recorder.reached}
    summary = {
        "loss": newest.get("loss"), "steps_per_s": newest.get("steps_per_s"), "mfu": newest.get("mfu"),
        "metrics": recorder.metrics, "model": run.model.name, "steps": run.train.steps, "device": _device(run),
    }  # fmt: skip
    return {"step": recorder.reached, "summary": summary}


def _facts(run: TrainerRun, context: Context) -> Mapping[str, object]:
    return {
        "host": socket.gethostname(), "pid": os.getpid(), "device": _device(run), "gang": context.coordinator,
        "processes": context.world, "versions": {"dit-grid": metadata.version("dit-grid")},
        "code_sha256": code_sha256(), "trainer_sha256": _trainer_sha256(run), "trainer": run.trainer.name,
    }  # fmt: skip


def _device(run: TrainerRun) -> str:
    resources = run.execution.resources
    return resources.slice or f"{resources.count} {resources.kind}"


def _trainer_sha256(run: TrainerRun) -> dict[str, str]:
    """File -> hash of the trainer's files that lie in its folder: the function's module, the command's scripts."""
    names = [part for part in run.trainer.command or () if part and not part.startswith("-")]
    if run.trainer.function is not None:
        names = [run.trainer.function.partition(":")[0].replace(".", "/") + ".py"]
    files = {name: Path(run.folder, name) for name in names}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in files.items()
        if file.is_file() and Path(run.folder).resolve() in file.resolve().parents
    }
