"""What a person sees in a terminal: the live grid, status, logs, tables and notices.

Words and layout only; nothing is decided or measured here. Pages and figures are `dit_grid.analysis`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.orchestrator.screen.grid import Grid as Grid
    from dit_grid.orchestrator.screen.live_grid import display as display
    from dit_grid.orchestrator.screen.plan_table import print_plan as print_plan
    from dit_grid.orchestrator.screen.status import RunStatus as RunStatus, read_status as read_status
    from dit_grid.orchestrator.screen.tables import print_status as print_status

__getattr__, __dir__ = on_first_use(__name__)
