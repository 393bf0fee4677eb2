"""The curves of a store as TensorBoard's event files, one folder a run, written by tensorboardX.

Only what counts is written, so a run that was interrupted and resumed shows one curve without a zigzag. What
TensorBoard has no place for stays behind: events, and of how something was evaluated all but the protocol.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dit_grid.experiments.store.errors import StorageError, StoreError
from dit_grid.experiments.store.points import eval_points, train_points
from dit_grid.experiments.store.store import Store

TENSORBOARD = "tensorboard"

_SUFFIX = ".dit-grid"
"""Ends the names of event files that an export wrote, so that the next one replaces them and no others."""


def write_event_files(store: Store, folder: Path) -> list[Path]:
    """Write folder/<run_id>/events… for every run with rows and return the files; those of an earlier export go first.

    Tags are `train/<column>` and `evals/<metric>/<protocol>`; each point keeps the time at which it was measured.
    Raises StoreError where tensorboardX is not installed, StorageError where the folder cannot be written.
    """
    writer_class = _writer_class()
    specs = {row["run_id"]: row["spec"] for row in store.runs(columns=["spec"]).to_pylist()}
    files: list[Path] = []
    for run_id in sorted(specs.keys() | store.states().keys()):
        measured = store.evals([run_id], columns=["value", "wall_unix_s"]).to_pylist()
        points = [*train_points(store.train([run_id]).to_pylist()), *eval_points(measured)]
        if not points:
            continue
        with _reported(folder):
            target = folder / run_id
            _remove_earlier(target)
            with contextlib.closing(writer_class(logdir=str(target), filename_suffix=_SUFFIX)) as writer:
                writer.add_text("spec", f"    {specs.get(run_id, '')}", 0, walltime=points[0].wall_unix_s)
                for step, wall, values, _ in points:
                    for tag, value in values.items():
                        writer.add_scalar(tag, value, step, walltime=wall)
            files += _event_files(target)
    return files


def _writer_class() -> Any:
    try:
        from tensorboardX import SummaryWriter  # an extra: most users read the store itself
    except ImportError as error:
        raise StoreError(
            "export as 'tensorboard' needs tensorboardX: pip install 'dit-grid[tensorboard]', or export as csv or jsonl"
        ) from error
    return SummaryWriter


def _event_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"events.out.tfevents.*{_SUFFIX}"))


def _remove_earlier(folder: Path) -> None:
    for file in _event_files(folder):
        file.unlink()


@contextlib.contextmanager
def _reported(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot export to {folder}: {error.strerror or error}") from error
