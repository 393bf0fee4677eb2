"""What a run holds: chips, cores, and their peak, published for slices and measured here for cores.

What of it a run reaches is the planner's.
"""

import time
from functools import cache

import numpy as np

from dit_grid.experiments.spec.execution import ResourceSpec
from dit_grid.experiments.spec.slices import chips_and_cores as of_slice
from dit_grid.model import accounting


def chips_and_cores(resources: ResourceSpec) -> tuple[int, int]:
    """Return (chips, cores) of what a run holds: v3-256 is 128 chips with 256 cores; a GPU is one of each."""
    if not resources.slice:
        return resources.count, resources.count
    return of_slice(resources.slice)


def peak_flops_per_s(resources: ResourceSpec) -> float | None:
    """Return the peak of what a run holds: published for slices, measured here for CPU cores, None for GPUs."""
    if resources.kind == "cpu":
        return measured_core_flops_per_s() * resources.count
    if not resources.slice:
        return None  # which GPU it will be, only the cluster knows
    generation = resources.slice.split("-")[0]
    kinds = {"v5e": "TPU v5 lite", "v5litepod": "TPU v5 lite", "v6e": "TPU v6 lite", "tpu7x": "TPU7x", "v7x": "TPU7x"}
    peak = accounting.DEVICE_PEAKS.get(kinds.get(generation, f"TPU {generation}"))
    return peak.flops_per_s * chips_and_cores(resources)[0] if peak else None


@cache
def measured_core_flops_per_s(side: int = 512, repeats: int = 5) -> float:
    """Return the best rate of a float32 matrix product on one core of this machine, in FLOP/s."""
    square, seconds = np.ones((side, side), np.float32), []
    for _ in range(repeats):
        started = time.perf_counter()
        square @ square
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)
