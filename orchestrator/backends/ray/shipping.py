"""This program's own code for hosts that lack it or have another version: its wheel, brought to every worker by Ray.

Ray installs a wheel with pip and all that it depends on, over the host's own JAX; so the wheel is shipped unpacked, its
code and its metadata, and its hash is told to the workers, which record it with every attempt.
"""

import tempfile
import zipfile
from pathlib import Path
from typing import Any

from dit_grid.orchestrator.backends.worker import WHEEL_VARIABLE
from dit_grid.orchestrator.clusters.wheel import build_wheel


def runtime_env() -> dict[str, Any]:
    """Return the Ray runtime environment that brings this program to every worker, and says which build it is."""
    folder = Path(tempfile.mkdtemp(prefix="dit-grid-wheel-"))
    wheel = build_wheel(folder)
    unpacked = folder / "unpacked"
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(unpacked)
    parts = sorted(str(part) for part in unpacked.iterdir())
    return {"py_modules": parts, "env_vars": {WHEEL_VARIABLE: wheel.sha256}}
