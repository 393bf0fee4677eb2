"""Which checkpoints of a run exist, and which of them still count.

Reading and writing them is `dit_grid.experiments.checkpoints`; nothing here needs JAX.
"""

from pathlib import Path

from dit_grid.experiments.store import Store, StorePaths, is_live
from dit_grid.experiments.store.paths import parse_checkpoint


def checkpoint_folder(store: Store, run_id: str, attempt: int, step: int) -> Path:
    """Return the folder of one checkpoint, absolute, whether it exists or not."""
    return Path(store.paths.full(StorePaths.checkpoint(run_id, attempt, step))).absolute()


def written_checkpoints(store: Store, run_id: str) -> list[tuple[int, int]]:
    """Return (step, attempt) of every whole checkpoint; a half-written one has a temporary name that does not parse."""
    root = StorePaths.checkpoints(run_id)
    folders = Path(store.paths.full(root)).glob("a*/s*")
    parsed = (parse_checkpoint(f"{root}/{folder.parent.name}/{folder.name}") for folder in folders)
    return sorted((step, attempt) for _, attempt, step in filter(None, parsed))


def live_checkpoints(store: Store, run_id: str) -> list[tuple[int, int]]:
    """Return (step, attempt) of every checkpoint that still counts by the store's liveness rule, oldest first."""
    resume_steps = store.resume_steps(run_id)
    return [
        (step, attempt) for step, attempt in written_checkpoints(store, run_id) if is_live(resume_steps, attempt, step)
    ]
