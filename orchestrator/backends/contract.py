"""What the launch loop asks of the place where runs execute: one contract for a test, a laptop and a cluster.

Here is the contract and the simplest keeper of it, one run at a time in this very process; Ray's is `backends.ray`.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dit_grid.experiments.running.owed_evaluations import TRAINED, EvaluationJob, is_recorded, parsed_job_id
from dit_grid.experiments.spec.any_run import AnyRun
from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.store import Store
from dit_grid.experiments.training.checkpoint_list import live_checkpoints
from dit_grid.experiments.training.context import Context, Progress
from dit_grid.experiments.training.failures import failure_detail
from dit_grid.orchestrator.core.events import (
    Action,
    ClusterSeen,
    Event,
    Gang,
    GangGone,
    GangStarted,
    Progressed,
    RankEnded,
    Start,
)

now = time.monotonic
"""The clock of every event's `at`: the driver process's monotonic one, in seconds.

A backend stamps each event in the driver process when it learns of it, never with a clock of another host; a deadline
told in wall time (a preemption notice) is turned into this clock on the way in.
"""


class Backend(Protocol):
    """Where runs execute. Every method returns at once but `poll`; none decides anything.

    The driver calls `cluster` before anything else, then `adopt` once, then `perform` and `poll` in turn, then
    `close` (which ends everything) or `detach` (which leaves gangs running for the next driver).
    """

    def cluster(self) -> ClusterSeen:
        """Return all that there is now, used or not."""

    def adopt(self, specs: Mapping[str, AnyRun]) -> Sequence[GangStarted]:
        """Take the runs of this launch, by id, and return their gangs that an earlier driver left alive.

        Gangs of runs that are not in `specs` are left alone. The backend keeps `specs` for later starts.
        """

    def perform(self, action: Action) -> None:
        """Begin to do it; what came of it is told by later events.

        Start: GangStarted, or StartFailed (then nothing of it is left). CheckpointAndStop and Kill: GangGone, once the
        last process of the gang is gone. Told twice, or of a gang that is no more: GangGone again, never an error.
        """

    def poll(self, timeout_s: float) -> Sequence[Event]:
        """Return what happened since the last poll, in order; wait at most `timeout_s` for the first of it.

        Holds a ClusterSeen whenever what it says differs from the last one returned by `cluster` or here. After a
        gang's own RankEnded or RankLost the backend says GangGone by itself once no process of it is left.
        """

    def progress(self) -> Mapping[str, Progress]:
        """Return the newest word of each run that executes, by run id; for display only."""

    def detach(self) -> None:
        """Leave every gang at work and let go of it; this process may end now. Where that cannot be, as `close`."""

    def close(self) -> None:
        """End every gang that this backend started or adopted, whatever it is doing, and free what they held."""


@dataclass(frozen=True)
class Ended:
    """How an attempt ended: `outcome` is done, interrupted or a failure class; `step` its newest checkpoint."""

    run_id: str
    outcome: str
    step: int
    message: str = ""


class InProcess:
    """Runs one after another in the calling process; for tests and for debugging a run without Ray."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._queue: deque[Gang] = deque()
        self._gone: deque[Gang] = deque()
        self._specs: Mapping[str, AnyRun] = {}
        self._progress: dict[str, Progress] = {}
        self._stopped: set[str] = set()

    def cluster(self) -> ClusterSeen:
        return ClusterSeen(now(), {"cpu": 1})

    def adopt(self, specs: Mapping[str, AnyRun]) -> Sequence[GangStarted]:
        self._specs = specs
        return ()

    def perform(self, action: Action) -> None:
        if isinstance(action, Start):
            self._queue.append(action.gang)
            self._stopped.discard(action.gang.run_id)
            return
        self._stopped.add(action.gang.run_id)
        if action.gang in self._queue:
            self._queue.remove(action.gang)
            self._gone.append(action.gang)

    def poll(self, timeout_s: float) -> Sequence[Event]:
        if self._gone:
            gang = self._gone.popleft()
            return [self._gone_word(gang)]
        if not self._queue:
            time.sleep(timeout_s)
            return ()
        gang = self._queue.popleft()
        events: list[Event] = [GangStarted(now(), gang)]

        def report(progress: Progress) -> None:
            self._progress[gang.run_id] = progress
            newest = newest_checkpoint(self.store, gang.run_id)
            events.append(Progressed(now(), gang, progress.step, newest, progress.activity))

        context = Context(self.store, report=report, stop_requested=lambda: gang.run_id in self._stopped)
        ended = attempt(self._specs[gang.run_id], context)
        events.append(RankEnded(now(), gang, 0, ended.outcome, ended.step, ended.message))
        events.append(self._gone_word(gang))
        return events

    def _gone_word(self, gang: Gang) -> GangGone:
        return GangGone(now(), gang, newest_checkpoint(self.store, gang.run_id), has_ended(self.store, gang.run_id))

    def progress(self) -> Mapping[str, Progress]:
        return dict(self._progress)

    def detach(self) -> None:
        self.close()

    def close(self) -> None:
        self._queue.clear()


def attempt(run: AnyRun, context: Context) -> Ended:
    """Execute one attempt of the run here and return how it ended; a failure is an outcome, never an exception."""
    if isinstance(run, EvaluationJob):
        return _evaluation(run, context)
    if isinstance(run, TrainerRun):
        return _own(run, context)
    from dit_grid.experiments.running.training_run import (
        train,  # jax takes seconds to import; the driver never needs it
    )

    try:
        outcome = train(run, context)
    except Exception as error:
        detail = failure_detail(error)
        return Ended(run.id, detail["class"], newest_checkpoint(context.store, run.id), detail["message"])
    return Ended(run.id, outcome.kind, outcome.step)


def _own(run: TrainerRun, context: Context) -> Ended:
    from dit_grid.experiments.trainers.attempt import train

    try:
        ended = train(run, context)
    except Exception as error:  # before its attempt began
        detail = failure_detail(error)
        print(detail["traceback"])
        return Ended(run.id, detail["class"], newest_checkpoint(context.store, run.id), detail["message"])
    return Ended(run.id, ended.outcome, ended.step, ended.message)


def _evaluation(job: EvaluationJob, context: Context) -> Ended:
    from dit_grid.experiments.running.evaluation_job import evaluate_checkpoint

    try:
        outcome = evaluate_checkpoint(job, context)
    except Exception as error:
        detail = failure_detail(error)
        print(detail["traceback"])  # to its log; no attempt of the run's would keep it
        return Ended(job.id, detail["class"], 0, detail["message"])
    return Ended(job.id, outcome, int(outcome == "done"))


def newest_checkpoint(store: Store, run_id: str) -> int:
    """Return the step of the run's newest live checkpoint, 0 if it has none; 1 for an evaluation that is recorded."""
    if (job := parsed_job_id(run_id)) is not None:
        return int(is_recorded(store, *job))
    live = live_checkpoints(store, run_id)
    return live[-1][0] if live else 0


def has_ended(store: Store, run_id: str) -> bool:
    """Return whether the store holds the end of the run's training, or all rows of an evaluation job."""
    if (job := parsed_job_id(run_id)) is not None:
        return is_recorded(store, *job)
    attempts = store.attempts(run_id)
    return bool(attempts) and attempts[-1].outcome in ("done", TRAINED)
