"""What a run is given from outside: where its rows go, whom it tells, and who may ask it to stop.

A run needs nothing else, so the same `train` works in a test, in one process on a laptop, and in a gang on a cluster.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata, resources
from pathlib import Path

from dit_grid.experiments.store import Store

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
"""Packages whose versions can change a run's numbers."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands; sent after every logged window and every evaluation."""

    run_id: str
    attempt: int
    step: int
    steps: int
    activity: str = "training"
    loss: float | None = None
    steps_per_s: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """The outside of a run. `peak_flops_per_s` is the run's devices' peak together, for MFU; None if unknown.

    `facts` are recorded beside those that the run finds itself when its attempt begins. `rank`, `world` and
    `coordinator` are its place among the processes of a gang; our own trainer asks `jax.distributed` instead.
    """

    store: Store
    report: Callable[[Progress], None] = lambda progress: None
    stop_requested: Callable[[], bool] = lambda: False
    peak_flops_per_s: float | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    rank: int = 0
    world: int = 1
    coordinator: str = ""


@cache
def code_sha256() -> str:
    """SHA-256 over the path and text of every installed dit_grid source file."""
    digest = hashlib.sha256()
    for room in ("model", "experiments", "orchestrator", "analysis"):
        folder = Path(str(resources.files(f"dit_grid.{room}"))).resolve()
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{room}/{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of dit-grid and of the packages that can change a run's numbers."""
    return {name: metadata.version(name) for name in ("dit-grid", *PACKAGES)}
