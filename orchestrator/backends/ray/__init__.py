"""Runs on a Ray cluster: gangs of processes on slices and pools, watched, ended, and found again by the next driver.

No decision is made here: actions come in, events go out.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.orchestrator.backends.ray.backend import RayBackend as RayBackend

# Under `uv run` Ray would start each worker by uv again, which takes longer, needs a home that can be written, and on a
# cluster ships this folder. Workers have this interpreter, or the wheel. Read by Ray when it is imported.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

# A process of a run that failed is ended at once, and Ray would say on the driver's output that it died, whatever
# `log_to_driver` is (Ray 2.60), between the lines that say why; everything else that Ray has to say is shown.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^A worker died or was killed while executing a task")

# `ray start` asks for a token from the moment that this user has one, which any Ray started on the machine leaves in
# the home; who joins such a cluster shows it only when told to (Ray 2.60). A cluster without tokens takes it, too.
# Ray that was imported before has read its settings, and its processes would be told otherwise than it was itself.
_TOKENS = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_has_one = any(name in os.environ for name in _TOKENS) or Path("~/.ray/auth_token").expanduser().exists()
if _has_one and "ray" not in sys.modules:
    os.environ.setdefault("RAY_AUTH_MODE", "token")

__getattr__, __dir__ = on_first_use(__name__)
