"""Which checkpoints of a run exist, and which of them still count.

Reading and writing them is `dit_grid.experiments.training.checkpoints`; nothing here needs JAX.
"""

from dit_grid.experiments.store import Store, StorePaths, is_live
from dit_grid.experiments.store.checkpoint_marks import whole


def checkpoint_folder(store: Store, run_id: str, attempt: int, step: int) -> str:
    """Return the absolute path or gs:// URL of one checkpoint's folder, whether it exists or not."""
    return store.paths.full(StorePaths.checkpoint(run_id, attempt, step))


def written_checkpoints(store: Store, run_id: str) -> list[tuple[int, int]]:
    """Return (step, attempt) of every whole checkpoint, oldest first."""
    return whole(store.files, run_id)


def live_checkpoints(store: Store, run_id: str) -> list[tuple[int, int]]:
    """Return (step, attempt) of every checkpoint that still counts by the store's liveness rule, oldest first."""
    resume_steps = store.resume_steps(run_id)
    return [
        (step, attempt) for step, attempt in written_checkpoints(store, run_id) if is_live(resume_steps, attempt, step)
    ]
