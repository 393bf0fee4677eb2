"""What a display needs to draw of a launch; who shows it is `live_grid`, who makes it the driver's loop."""

from collections.abc import Sequence
from dataclasses import dataclass

from dit_grid.experiments.spec import AnyRun
from dit_grid.experiments.spec.any_run import stored
from dit_grid.experiments.spec.swept import told_apart
from dit_grid.experiments.training.context import Progress
from dit_grid.orchestrator import core
from dit_grid.orchestrator.screen.status import MOST_TOLD_APART


@dataclass(frozen=True)
class Grid:
    """What a display needs to draw: the scheduler's state, the newest word of each run, and how long it has been going.

    `first_steps` says from which checkpoint each run went on when the launch began.
    """

    runs: tuple[AnyRun, ...]
    state: core.State
    progress: dict[str, Progress]
    first_steps: dict[str, int]
    elapsed_s: float


def names_of(runs: Sequence[AnyRun]) -> dict[str, str]:
    """Return run id -> what it is called: its model, and where several have one, the settings they were swept over."""
    names = {run.id: run.model.name for run in runs}
    if len(runs) > MOST_TOLD_APART or len(set(names.values())) == len(names):
        return names
    said = (" ".join(f"{name.rpartition('.')[2]}={value}" for name, value in one.items())
            for one in told_apart([stored(run) for run in runs]))  # fmt: skip
    return {run_id: f"{name} {swept}".rstrip() for (run_id, name), swept in zip(names.items(), said, strict=True)}
