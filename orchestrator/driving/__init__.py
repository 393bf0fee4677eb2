"""Who drives a grid and how: one process holds the lease and loops until every run has ended; all others watch.

What it decides is `core`, what it remembers lies in `control`'s files, what it starts is `backends`'.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.orchestrator.driving.loop import drive as drive
    from dit_grid.orchestrator.driving.who_drives import (
        launch_here as launch_here,
        launch_on_cluster as launch_on_cluster,
    )

__getattr__, __dir__ = on_first_use(__name__)
