"""How parameters change: one update as a compiled program, arrays over devices and processes, checkpoints, failures.

The loop that calls it, step after step, is `running`; measuring what came of it is `evaluation`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.experiments.training.carried_state import TrainState as TrainState
    from dit_grid.experiments.training.checkpoints import Checkpoints as Checkpoints
    from dit_grid.experiments.training.context import Context as Context, Progress as Progress
    from dit_grid.experiments.training.failures import NonFiniteLossError as NonFiniteLossError, classify as classify
    from dit_grid.experiments.training.optimizer import learning_rate as learning_rate, make_optimizer as make_optimizer
    from dit_grid.experiments.training.update import Program as Program, make_diffusion as make_diffusion

__getattr__, __dir__ = on_first_use(__name__)
