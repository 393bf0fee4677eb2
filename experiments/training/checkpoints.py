"""Checkpoints of a run's training state: written whole or not at all, and resumed from only where they still count.

The bytes are orbax's, on a disk or on gs://; what is here is which folder to write, when it is whole, which to trust,
by the store's liveness rule, and which to delete.
"""

import contextlib
import functools
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from dit_grid.experiments.store import Attempt, StorageError, Store, StorePaths
from dit_grid.experiments.store.checkpoint_marks import damage, delete_checkpoint, mark_whole, unmarked_folders
from dit_grid.experiments.store.held_folder import HeldFolder
from dit_grid.experiments.training import process_group
from dit_grid.experiments.training.checkpoint_list import checkpoint_folder, live_checkpoints, written_checkpoints
from dit_grid.experiments.training.failures import STORAGE, GangError

NEWEST = 64
"""How many live checkpoints are tried, newest first; a run keeps a handful."""


class BadCheckpointError(RuntimeError):
    """A checkpoint that exists but cannot be read."""


class LostCheckpointError(BadCheckpointError):
    """A checkpoint of which a file is missing, cut or changed; nothing will bring it back."""


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
        self._background = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._attempt: Attempt | None = None
        self._held = HeldFolder("://")

    def live(self) -> list[tuple[int, int]]:
        """Return (step, attempt) of every checkpoint that still counts, oldest first."""
        return live_checkpoints(self.store, self.run_id)

    def save(self, attempt: Attempt, step: int, state: Any) -> None:
        """Start writing `state`; it exists for readers once it is whole. Waits for the checkpoint before it.

        Raises StorageError if that one, or the start of this one, could not be written.
        """
        self.wait()
        self._prepare(attempt)
        with self._reported(attempt.number, step):
            self._orbax.save(self._target(attempt.number, step), state)
        self._pending = self._background.submit(self._finish, attempt, step)

    def _prepare(self, attempt: Attempt) -> None:
        """Make the attempt's folder. Where orbax cannot, its threads would wait minutes for it and hold up the exit."""
        if self._attempt != attempt:
            name = StorePaths.checkpoints_begun(self.run_id, attempt.number)
            process_group.by_leader(lambda: self.store.files.create(name, b"{}"))
            self._held.close()
            self._held = HeldFolder(self.store.paths.full(name).rpartition("/")[0])
            if len(set(process_group.exchange(self._held.number))) > 1:
                self._held.close()  # the processes agree with each other by the path
            self._attempt = attempt

    def _target(self, attempt: int, step: int) -> str:
        """Where orbax is told to write: below the open folder, so that it makes no store anew that went away."""
        folder = self._folder(attempt, step)
        return folder if self._held.number < 0 else f"{self._held.path}/{folder.rpartition('/')[2]}"

    def _finish(self, attempt: Attempt, step: int) -> None:
        """Wait until every process has written its part, then make the checkpoint exist."""
        with self._reported(attempt.number, step):
            self._orbax.wait_until_finished()
        # A later attempt may have cleaned up behind this one: what a replaced attempt wrote is not to be trusted.
        if process_group.leads() and not self.store.superseded(attempt):
            facts = {"format": "orbax", "processes": jax.process_count(), "orbax": ocp.__version__}
            mark_whole(self.store.files, self.run_id, attempt.number, step, facts)

    def wait(self) -> None:
        """Return once everything saved is where it belongs, on every process of a gang.

        Raises StorageError if it could not be written, GangError where only another process has learnt of it.
        """
        process_group.by_all(self._settle)

    def _settle(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def restore(self, attempt: int, step: int, like: Any) -> Any:
        """Return the state at `step` in the form of `like`: shapes, types, shardings, of a state or as
        `jax.ShapeDtypeStruct`, which takes no memory. Raises BadCheckpointError.

        StorageError, not that, where the store cannot be reached: the checkpoint may be as good as ever.
        """
        self._refuse(attempt, step, self._damage(attempt, step))
        return self._read(attempt, step, like)

    def restore_by_all(self, attempt: int, step: int, like: Any) -> Any:
        """As `restore`, called by every process of a gang; one of them alone looks whether the files are sound."""
        self._refuse(attempt, step, process_group.by_leader(lambda: self._damage(attempt, step)))
        return process_group.by_all(functools.partial(self._read, attempt, step, like))

    def _damage(self, attempt: int, step: int) -> str | None:
        return damage(self.store.files, self.run_id, attempt, step)

    def _refuse(self, attempt: int, step: int, problem: str | None) -> None:
        if problem:
            raise LostCheckpointError(f"checkpoint {self._folder(attempt, step)} cannot be read: {problem}")

    def _read(self, attempt: int, step: int, like: Any) -> Any:
        folder = self._folder(attempt, step)
        try:
            return self._orbax.restore(folder, jax.tree.map(ocp.utils.to_shape_dtype_struct, like))
        except Exception as error:  # orbax raises whatever the layer below raised
            raise BadCheckpointError(f"checkpoint {folder} cannot be read: {type(error).__name__}: {error}") from error

    def restore_newest(self, like: Any) -> Restored:
        """Return the newest live state that can be read; `like` itself, at step 0, where there is none.

        The processes of a gang read the same one, that all of them can read. Raises BadCheckpointError where there are
        whole ones and none can be read: a wrong program or a wrong sign-in must not start a long run afresh.
        """
        unreadable: list[str] = []
        all_lost = True
        candidates = process_group.by_leader(lambda: list(reversed(self.live()))[:NEWEST])
        for step, attempt in candidates:
            try:
                return Restored(step, self.restore_by_all(attempt, step, like), attempt, tuple(unreadable))
            except (BadCheckpointError, GangError) as error:
                if isinstance(error, GangError) and error.failure_class == STORAGE:
                    raise  # as the process does that could not reach the store
                unreadable.append(str(error))
                all_lost &= isinstance(error, LostCheckpointError)
        if not all_lost:
            begin_afresh = f"to begin afresh delete {self.store.paths.full(StorePaths.checkpoints(self.run_id))}"
            raise BadCheckpointError(f"no checkpoint of {self.run_id} can be read; {begin_afresh}: {unreadable[0]}")
        return Restored(0, like, None, tuple(unreadable))

    def keep_newest(self, count: int, needed: Collection[int] = ()) -> None:
        """Delete the run's checkpoints but the `count` newest live ones, and what earlier attempts did not finish.

        Live ones at the steps in `needed`, which are still to be measured, stay too.
        """
        live = self.live()
        keep = {*live[-count:], *(one for one in live if one[0] in needed)}
        for step, attempt in written_checkpoints(self.store, self.run_id):
            if (step, attempt) not in keep:
                delete_checkpoint(self.store.files, self.run_id, attempt, step)
        if self._attempt is not None:
            for folder in unmarked_folders(self.store.files, self.run_id, before_attempt=self._attempt.number):
                self.store.files.delete_folder(folder)

    def close(self) -> None:
        """Finish what was started and release orbax's threads."""
        # Who wants to know whether the last checkpoint was written asks `wait`; here another error may be on its way.
        with contextlib.suppress(StorageError):
            self._settle()
        self._background.shutdown()
        self._orbax.close()
        self._held.close()

    @contextlib.contextmanager
    def _reported(self, attempt: int, step: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # orbax raises whatever the layer below raised
            reason = str(error).strip().partition("\n")[0].partition(" [")[0]  # tensorstore appends its whole request
            reason = reason.replace(self._held.path, self._folder(attempt, step).rpartition("/")[0])
            raise StorageError(
                f"cannot write checkpoint {self._folder(attempt, step)}: {type(error).__name__}: {reason}"
            ) from error

    def _folder(self, attempt: int, step: int) -> str:
        return checkpoint_folder(self.store, self.run_id, attempt, step)
