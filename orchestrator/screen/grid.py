"""What a display needs to draw of a launch; who shows it is `live_grid`, who makes it the driver's loop."""

from dataclasses import dataclass

from dit_grid.experiments.spec import AnyRun
from dit_grid.experiments.training.context import Progress
from dit_grid.orchestrator import core


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
