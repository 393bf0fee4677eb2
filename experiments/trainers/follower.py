"""A process of a gang that is not rank 0: it learns which attempt it is from the store, and writes no rows.

Rank 0 begins the attempt and says in the store which gang it is, by where its ranks meet.
"""

import time
from collections.abc import Mapping
from typing import Any

from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.store import Attempt, StorageError, Store
from dit_grid.experiments.trainers.checkpoints import OwnCheckpoints
from dit_grid.experiments.training.context import Context

MEET_S = 120.0
LOOK_S = 0.5


class Follower:
    """Answers the trainer of such a process: where checkpoints lie, and nothing else."""

    def __init__(self, store: Store, attempt: Attempt, resumed: int | None) -> None:
        self.checkpoints = OwnCheckpoints(store, attempt, resumed, keep=0)
        self.failure: tuple[str, str] | None = None
        self.stopping = False

    def take(self, message: Mapping[str, Any]) -> Any:
        """Return the answer to a message; rows are rank 0's."""
        return self.checkpoints.folder(int(message["step"])) if message.get("do") == "folder" else None


def attempt_of_the_leader(run: TrainerRun, context: Context) -> tuple[Attempt, int | None]:
    """Return the attempt that rank 0 of this gang began and the attempt whose checkpoint it goes on from.

    Raises StorageError where none appears in time.
    """
    until = time.monotonic() + MEET_S
    while time.monotonic() < until:
        for record in reversed(context.store.attempts(run.id)):
            if record.start.get("gang") == context.coordinator and record.outcome is None:
                resumed = record.start.get("resumed_attempt")
                return record.attempt, resumed if isinstance(resumed, int) else None
        time.sleep(LOOK_S)
    raise StorageError(f"{run.id}: rank 0 at {context.coordinator} began no attempt within {MEET_S:.0f} s")
