"""What a spec would run and cost before anything runs: compute from `model.accounting`, and time and money from that.

Hours come from the speed that the store holds for the same run, else from the MFU that the spec states and the peak of
what it runs on; with neither there are none. Nothing is reserved and no accelerator is needed.
"""

import re
import time
from dataclasses import dataclass
from functools import cache

import numpy as np

from dit_grid.experiments.spec import ExperimentSpec, PriceSpec, RunSpec
from dit_grid.experiments.spec.run import ResourceSpec
from dit_grid.model import accounting

CORES_PER_CHIP = {"v2": 2, "v3": 2, "v4": 2, "v5p": 2}
"""TPU generations whose slice names count cores; the others (v5e, v6e) count chips (Google Cloud, TPU versions)."""


@dataclass(frozen=True)
class PlanRow:
    """One run. GMACs are multiply-accumulates / 1e9, of one forward pass or of the whole run's training or sampling."""

    run_id: str
    model: str
    block: str
    params: int
    forward_gmacs: float
    tokens: int
    batch: int
    steps: int
    train_gmacs: float
    eval_gmacs: float
    on: str
    chips: int
    steps_per_s: float | None
    speed_from: str
    hours: float | None
    usd: float | None


def plan(spec: ExperimentSpec, measured_steps_per_s: dict[str, float] | None = None) -> list[PlanRow]:
    """Return a row for each run of the spec; `measured_steps_per_s` holds speeds by run id where the store has them."""
    measured = measured_steps_per_s or {}
    return [_row(run, spec.plan, measured.get(run.id)) for run in spec.runs]


def evaluation_macs(run: RunSpec) -> int:
    """Return the multiply-accumulates of drawing all samples of all evaluations of the run; scoring is not counted."""
    times = -(-run.train.steps // run.evaluate.every)
    sampled = (s for s in run.evaluate.settings if set(s.metrics) - {"heldout_loss"})
    return times * sum(
        s.samples * accounting.sampling_macs(run.network, s.steps, guided=s.guidance != 1.0) for s in sampled
    )


def chips_and_cores(resources: ResourceSpec) -> tuple[int, int]:
    """Return (chips, cores) of what a run holds: v3-256 is 128 chips with 256 cores; a GPU is one of each."""
    if not resources.slice:
        return resources.count, resources.count
    generation, number = re.fullmatch(r"(v\d+[a-z]*)-(\d+)", resources.slice).groups()  # type: ignore[union-attr]
    per_chip = CORES_PER_CHIP.get(generation, 1)
    return max(int(number) // per_chip, 1), int(number)


def peak_flops_per_s(resources: ResourceSpec) -> float | None:
    """Return the peak of what a run holds: published for slices, measured here for CPU cores, None for GPUs."""
    if resources.kind == "cpu":
        return measured_core_flops_per_s() * resources.count
    if not resources.slice:
        return None  # which GPU it will be, only the cluster knows
    generation = resources.slice.split("-")[0]
    kind = {"v5e": "v5 lite", "v6e": "v6 lite"}.get(generation, generation)
    peak = accounting.DEVICE_PEAKS.get(f"TPU {kind}")
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


def _row(run: RunSpec, price: PriceSpec, measured: float | None) -> PlanRow:
    resources, network = run.execution.resources, run.network
    train, evaluation = accounting.training_macs(network, run.train.batch, run.train.steps), evaluation_macs(run)
    rate, source = _speed(run, price, measured)
    hours = None
    if rate:
        train_hours = run.train.steps / rate / 3600
        hours = train_hours * (1 + evaluation / train) * (1 + price.overhead)
    chips, cores = chips_and_cores(resources)
    return PlanRow(
        run.id,
        run.model.name,
        run.model.block,
        accounting.trainable_params(network),
        accounting.forward_macs(network) / 1e9,
        network.tokens,
        run.train.batch,
        run.train.steps,
        train / 1e9,
        evaluation / 1e9,
        resources.slice or f"{resources.count} {resources.kind}",
        chips,
        rate,
        source,
        hours,
        _usd(hours, chips, cores, price),
    )


def _speed(run: RunSpec, price: PriceSpec, measured: float | None) -> tuple[float | None, str]:
    if measured:
        return measured, "measured"
    peak = peak_flops_per_s(run.execution.resources)
    if price.mfu is None or peak is None:
        return None, ""
    flops_a_step = accounting.FLOPS_PER_MAC * accounting.training_macs(run.network, run.train.batch, steps=1)
    return price.mfu * peak / flops_a_step, f"MFU {price.mfu:.1%}"


def _usd(hours: float | None, chips: int, cores: int, price: PriceSpec) -> float | None:
    if hours is None:
        return None
    if price.usd_per_chip_hour is not None:
        return hours * chips * price.usd_per_chip_hour
    if price.usd_per_core_hour is not None:
        return hours * cores * price.usd_per_core_hour
    return None
