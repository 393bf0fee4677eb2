"""What a spec would run, cost and take before anything runs, and what of it is left to do.

Nothing is reserved here. A campaign played in virtual time is `simulation`, advice on the next runs `advice`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.orchestrator.planning.calibrate import measured_speeds as measured_speeds
    from dit_grid.orchestrator.planning.plan import PlanRow as PlanRow, Speed as Speed
    from dit_grid.orchestrator.planning.work import unfinished as unfinished

__getattr__, __dir__ = on_first_use(__name__)
