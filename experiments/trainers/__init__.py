"""Any trainer: a function or a program of somebody's own, in any framework, as one run of a grid.

`client` is what it imports, `attempt` what executes it: a process spoken to over a socket (docs/trainers.md).
What such a run is asked for is `spec`; our own trainer is `running`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.experiments.trainers.attempt import Ended as Ended, train as train
    from dit_grid.experiments.trainers.client import Run as Run, current_run as current_run
    from dit_grid.experiments.trainers.needed import faults as faults

__getattr__, __dir__ = on_first_use(__name__)
