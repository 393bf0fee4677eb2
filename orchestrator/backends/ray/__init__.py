"""Runs on a Ray cluster: gangs of processes on slices and pools, watched, ended, and found again by the next driver.

No decision is made here: actions come in, events go out.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.orchestrator.backends.ray.backend import RayBackend as RayBackend

__getattr__, __dir__ = on_first_use(__name__)
