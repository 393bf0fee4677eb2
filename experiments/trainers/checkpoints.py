"""Checkpoints of one's own trainer: folders that it fills with whatever it likes, which count once they are marked.

On a disk the trainer writes where the checkpoint will stay; of a bucket it gets a folder here, and what it left there
is brought over when it commits. Which of them count is the store's rule, the same as for ours.
"""

import os
import tempfile
from pathlib import Path

from dit_grid.experiments.store import Attempt, Store, StorePaths
from dit_grid.experiments.store.checkpoint_marks import damage, delete_checkpoint, mark_whole, unmarked_folders
from dit_grid.experiments.training.checkpoint_list import live_checkpoints, written_checkpoints


def newest_whole(store: Store, run_id: str) -> tuple[int, int | None, tuple[str, ...]]:
    """Return (step, attempt) of the newest live checkpoint whose files are all there, (0, None) where there is none.

    With it a line about each newer one that is damaged.
    """
    damaged = list[str]()
    for step, attempt in reversed(live_checkpoints(store, run_id)):
        problem = damage(store.files, run_id, attempt, step)
        if problem is None:
            return step, attempt, tuple(damaged)
        damaged.append(f"checkpoint of attempt {attempt} at step {step}: {problem}")
    return 0, None, tuple(damaged)


class OwnCheckpoints:
    """The checkpoints of one attempt, and the one that it goes on from (`resumed` wrote it)."""

    def __init__(self, store: Store, attempt: Attempt, resumed: int | None, keep: int) -> None:
        self.store, self.attempt, self.resumed, self.keep = store, attempt, resumed, keep
        self._begun = False
        self._here = tempfile.TemporaryDirectory(prefix="dit-grid-") if "://" in store.paths.root else None

    def folder(self, step: int) -> str:
        """Return the folder of a step's checkpoint, made if it is a new one."""
        if step == self.attempt.resume_step and self.resumed is not None:
            return self._fetched(StorePaths.checkpoint(self.attempt.run_id, self.resumed, step))
        if step == 0:
            raise ValueError("there is no checkpoint of step 0; a run whose step is 0 starts afresh")
        path = self._path(StorePaths.checkpoint(self.attempt.run_id, self.attempt.number, step))
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    def commit(self, step: int) -> None:
        """Make the checkpoint count, and delete older ones than are to be kept. ValueError for an empty folder."""
        if step == self.attempt.resume_step and self.resumed is not None:
            return  # it counts already
        run_id, number = self.attempt.run_id, self.attempt.number
        name = StorePaths.checkpoint(run_id, number, step)
        path = self._path(name)
        files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else []
        if not files:
            raise ValueError(f"commit: checkpoint_folder({step}) holds no file; write the checkpoint there first")
        if not self._begun:
            self.store.files.create(StorePaths.checkpoints_begun(run_id, number), b"{}")
            self._begun = True
        for file in files:
            if self._here is not None:
                self.store.files.create(f"{name}/{file.relative_to(path).as_posix()}", file.read_bytes())
            else:
                _make_durable(file)
        mark_whole(self.store.files, run_id, number, step, {"format": "own"})
        self.keep_newest(self.keep + 1)

    def keep_newest(self, count: int) -> None:
        """Delete the run's checkpoints but the newest live ones, and what earlier attempts did not finish."""
        run_id = self.attempt.run_id
        kept = set(live_checkpoints(self.store, run_id)[-count:])
        for step, attempt in written_checkpoints(self.store, run_id):
            if (step, attempt) not in kept:
                delete_checkpoint(self.store.files, run_id, attempt, step)
        for folder in unmarked_folders(self.store.files, run_id, before_attempt=self.attempt.number):
            self.store.files.delete_folder(folder)

    def close(self) -> None:
        """Remove what was only here."""
        if self._here is not None:
            self._here.cleanup()

    def _path(self, name: str) -> Path:
        return Path(self._here.name if self._here is not None else self.store.paths.root).absolute() / name

    def _fetched(self, name: str) -> str:
        path = self._path(name)
        if self._here is not None and not path.exists():
            for file in self.store.files.sizes(name):
                place = self._path(file)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(self.store.files.read(file))
        return str(path)


def _make_durable(file: Path) -> None:
    """A mark must not outlive what it marks, should the machine lose power."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
