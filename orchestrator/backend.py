"""What the launch loop asks of the place where runs execute: one contract for a test, a laptop and a cluster.

Here is the contract and the simplest keeper of it, one run at a time in this very process; Ray's is `ray_backend`.
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from dit_grid.experiments.checkpoint_list import live_checkpoints
from dit_grid.experiments.context import Context, Progress
from dit_grid.experiments.failures import failure_detail
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.core import Ended


@dataclass(frozen=True)
class Update:
    """What happened since the last poll, in order: attempts that ended, and the newest progress of each run."""

    ended: tuple[Ended, ...] = ()
    progress: tuple[Progress, ...] = ()


class Backend(Protocol):
    """Where runs execute. `start` and `stop` return at once; `poll` tells what became of them."""

    def capacity(self) -> dict[str, int]:
        """Return how much there is of each kind of resource, used or not."""

    def start(self, run: RunSpec) -> None:
        """Begin an attempt of the run."""

    def stop(self, run_id: str) -> None:
        """Ask the run's attempt to write a checkpoint and end."""

    def poll(self, timeout_s: float) -> Update:
        """Return what happened, waiting at most `timeout_s` for an attempt to end."""

    def close(self) -> None:
        """End every process that this backend started, whatever it is doing."""


class InProcess:
    """Runs one after another in the calling process; for tests and for debugging a run without Ray."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._queue: deque[RunSpec] = deque()
        self._progress: dict[str, Progress] = {}
        self._stopped: set[str] = set()

    def capacity(self) -> dict[str, int]:
        return {"cpu": 1}

    def start(self, run: RunSpec) -> None:
        self._queue.append(run)

    def stop(self, run_id: str) -> None:
        self._stopped.add(run_id)

    def poll(self, timeout_s: float) -> Update:
        if not self._queue:
            return Update()
        run = self._queue.popleft()
        ended = attempt(run, self._context(run.id))
        return Update((ended,), tuple(self._progress.values()))

    def close(self) -> None:
        self._queue.clear()

    def _context(self, run_id: str) -> Context:
        def report(progress: Progress) -> None:
            self._progress[run_id] = progress

        return Context(self.store, report=report, stop_requested=lambda: run_id in self._stopped)


def attempt(run: RunSpec, context: Context) -> Ended:
    """Execute one attempt of the run here and return how it ended; a failure is an outcome, never an exception."""
    from dit_grid.experiments.train import train  # jax takes seconds to import; the driver never needs it

    try:
        outcome = train(run, context)
    except Exception as error:
        detail = failure_detail(error)
        return Ended(run.id, detail["class"], newest_checkpoint(context.store, run.id), detail["message"])
    return Ended(run.id, outcome.kind, outcome.step)


def newest_checkpoint(store: Store, run_id: str) -> int:
    """Return the step of the run's newest live checkpoint, 0 if it has none."""
    live = live_checkpoints(store, run_id)
    return live[-1][0] if live else 0
