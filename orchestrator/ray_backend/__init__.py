"""Runs on a Ray cluster: gangs of processes on slices and pools, watched, ended, and found again by the next driver.

Decides nothing: it does what the core's actions say and reports what became of them. Here are only Ray's settings.
"""

import os

# Read by Ray when it is imported, so they are set before any module of this package imports it.
# Under `uv run` Ray would pack the working folder and build an environment for each worker; the workers of this
# machine use the interpreter and the packages of this process.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the behaviour later Rays have; quiet
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from dit_grid.orchestrator.ray_backend.backend import RayBackend

__all__ = ["RayBackend"]
