"""Runs on a Ray cluster: gangs of processes on slices and pools, watched, ended, and found again by the next driver.

No decision is made here: actions come in, events go out.
"""

import os
from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.orchestrator.backends.ray.backend import RayBackend as RayBackend

# Under `uv run` Ray would start each worker by uv again, which takes longer, needs a home that can be written, and on a
# cluster ships this folder. Workers have this interpreter, or the wheel. Read by Ray when it is imported.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

__getattr__, __dir__ = on_first_use(__name__)
