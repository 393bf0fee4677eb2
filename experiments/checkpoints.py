"""Checkpoints of a run's training state: written whole or not at all, and resumed from only where they still count.

The bytes are orbax's; what is here is which folder to write, which to trust, by the store's liveness rule, and which
to delete.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from dit_grid.experiments.checkpoint_list import checkpoint_folder, live_checkpoints, written_checkpoints
from dit_grid.experiments.store import Attempt, Store


class BadCheckpointError(RuntimeError):
    """A checkpoint that exists but cannot be read."""


class Restored(NamedTuple):
    """A state to go on from, the attempt that wrote it, and a line about each newer checkpoint that was unreadable."""

    step: int
    state: Any
    attempt: int | None
    unreadable: tuple[str, ...]


class Checkpoints:
    """The checkpoints of one run. Reading needs no attempt; writing goes under the attempt's own folder."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.store, self.run_id = store, run_id
        self._orbax = ocp.StandardCheckpointer()

    def live(self) -> list[tuple[int, int]]:
        """Return (step, attempt) of every checkpoint that still counts, oldest first."""
        return live_checkpoints(self.store, self.run_id)

    def save(self, attempt: Attempt, step: int, state: Any) -> None:
        """Start writing `state`; it exists for readers once it is whole. Waits for the checkpoint before it."""
        self._orbax.wait_until_finished()
        self._orbax.save(self._folder(attempt.number, step), state)

    def wait(self) -> None:
        """Return once everything saved is on the disk."""
        self._orbax.wait_until_finished()

    def restore(self, attempt: int, step: int, like: Any) -> Any:
        """Return the state at `step` in the form of `like`: shapes, types, shardings. Raises BadCheckpointError."""
        folder = self._folder(attempt, step)
        try:
            return self._orbax.restore(folder, jax.tree.map(ocp.utils.to_shape_dtype_struct, like))
        except Exception as error:  # orbax raises whatever the layer below raised
            raise BadCheckpointError(f"checkpoint {folder} cannot be read: {type(error).__name__}: {error}") from error

    def restore_newest(self, like: Any) -> Restored:
        """Return the newest live state that can be read; `like` itself, at step 0, where there is none."""
        unreadable: list[str] = []
        for step, attempt in reversed(self.live()):
            try:
                return Restored(step, self.restore(attempt, step, like), attempt, tuple(unreadable))
            except BadCheckpointError as error:
                unreadable.append(str(error))
        return Restored(0, like, None, tuple(unreadable))

    def keep_newest(self, count: int) -> None:
        """Delete the run's checkpoints but the `count` newest live ones."""
        keep = set(self.live()[-count:])
        for step, attempt in written_checkpoints(self.store, self.run_id):
            if (step, attempt) not in keep:
                shutil.rmtree(self._folder(attempt, step), ignore_errors=True)

    def close(self) -> None:
        """Finish what was started and release orbax's threads."""
        self._orbax.close()

    def _folder(self, attempt: int, step: int) -> Path:
        return checkpoint_folder(self.store, self.run_id, attempt, step)
