"""States of evaluations under way: which there are of a run, and which are of no use any more.

What they hold, and who goes on from them, is `dit_grid.experiments.evaluation.partial_state`.
"""

import contextlib
import time
from collections.abc import Iterator

from dit_grid.experiments.store.checkpoint_marks import whole
from dit_grid.experiments.store.files import Files
from dit_grid.experiments.store.paths import Partial, StorePaths, parse_partial

FORGOTTEN_S = 7 * 24 * 3600.0
"""How long a state waits for somebody to go on from it while its checkpoint is there."""


def partials_of(files: Files, run_id: str) -> list[Partial]:
    """The states of evaluations of the run's checkpoints, in no order."""
    names = files.walk(StorePaths.samples(run_id))
    return [partial for partial in map(parse_partial, names) if partial is not None]


def abandoned(files: Files, before: float) -> Iterator[tuple[str, str]]:
    """(name, reason) of every state last written before that time whose checkpoint is gone, or nobody came back for."""
    partials = [partial for partial in map(parse_partial, sorted(files.walk("samples"))) if partial is not None]
    there = {run_id: set(whole(files, run_id)) for run_id in {partial.run_id for partial in partials}}
    for partial in partials:
        with contextlib.suppress(FileNotFoundError):
            written = files.modified(partial.name)
            if (partial.step, partial.attempt) not in there[partial.run_id] and written <= before:
                yield partial.name, "part of an evaluation of a checkpoint that is gone"
            elif written <= min(before, time.time() - FORGOTTEN_S):
                yield partial.name, "part of an evaluation that nobody went on with for a week"
