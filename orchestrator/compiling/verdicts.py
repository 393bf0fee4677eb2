"""What the compiler's figures mean for a run: whether it fits its slice, and how fast a roofline lets it go.

Asking is `compiler`, keeping `kept`, and what else would fit `alternatives`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.model import accounting
from dit_grid.orchestrator.compiling import child, kept
from dit_grid.orchestrator.compiling.compiler import ask, check_compiler
from dit_grid.orchestrator.compiling.generations import generation_of, topology_of

COMPUTE, MEMORY, INTERCONNECT = "compute", "memory", "interconnect"


@dataclass(frozen=True)
class Compiled:
    """One update of a run on its slice by the TPU compiler: bytes, FLOPs and seconds of one core (one JAX device).

    `flops` are those of the compiled program, recomputation and padding included, `model_flops` what the model's own
    arithmetic takes. `estimated_s` is the sum of the compiler's cycles, communication left out, where the generation's
    clock is known; `roofline_s` the longest of three times at peak, and `bound` which. A program that does not fit has
    no figures but what it needs.
    """

    slice: str
    topology: str
    devices: int
    layout: str
    fits: bool
    hbm_needed_bytes: int
    hbm_granted_bytes: int
    traffic_bytes: int | None
    flops: int | None
    model_flops: int
    collective_bytes: dict[str, int]
    between_hosts_bytes: int | None
    estimated_s: float | None
    compiler_s: float
    roofline_s: float | None
    bound: str | None


class RefusedError(ValueError):
    """The run's layout or batch cannot be had on its slice; one line."""


def judge(run: RunSpec, versions: dict[str, str]) -> Compiled:
    """Return the compiler's verdict on a run that names a slice, from disk where it was asked before.

    Raises CompilerError where the compiler cannot answer, RefusedError for a batch or mesh that does not divide.
    """
    slice_name = run.execution.resources.slice
    assert slice_name is not None
    name = kept.key(run, slice_name, versions)
    answer = kept.recall(name)
    if answer is None:
        answer = ask(kept.canonical(run), slice_name)
        kept.keep(name, answer)
    if answer["kind"] == child.REFUSED:
        raise RefusedError(f"{run.model.name} ({run.id}) on {slice_name}: {answer['message']}")
    return _verdict(run, slice_name, answer)


def judge_all(runs: Iterable[RunSpec], done: Callable[[], None]) -> tuple[dict[str, Compiled], list[str]]:
    """Return run id -> verdict for every run on a slice, and in one line each the runs that can have none."""
    versions, found, refused = check_compiler(), dict[str, Compiled](), list[str]()
    for run in runs:
        if run.execution.resources.slice:
            try:
                found[run.id] = judge(run, versions)
            except RefusedError as error:
                refused.append(str(error))
        done()
    return found, refused


def layout_of(run: RunSpec) -> str:
    """Return how the run's state lies on devices, and what it recomputes, as a spec writes it."""
    execution = run.execution
    mesh = execution.mesh
    layout: str = execution.layout
    if mesh is not None:
        layout = f"mesh {mesh.data or 'all'} x {mesh.fsdp}" + (f" x {mesh.tensor} tensor" if mesh.tensor else "")
    parts = [layout] + [f"remat {execution.remat}"] * (execution.remat != "none")
    return ", ".join(parts + [f"accumulate {run.train.accumulate}"] * (run.train.accumulate > 1))


def _verdict(run: RunSpec, slice_name: str, answer: dict[str, Any]) -> Compiled:
    generation, topology = generation_of(slice_name), topology_of(slice_name)
    granted = answer.get("hbm_granted_bytes", generation.granted_bytes)
    macs = accounting.training_macs(run.network, run.train.batch, steps=1)
    figures = _roofline(slice_name, answer) if answer["kind"] == child.FITS else _NOTHING
    return Compiled(
        slice_name, topology.name, topology.devices, layout_of(run),
        fits=answer["kind"] == child.FITS,
        hbm_needed_bytes=answer["hbm_needed_bytes"],
        hbm_granted_bytes=granted,
        model_flops=accounting.FLOPS_PER_MAC * macs // topology.devices,
        compiler_s=answer["compiler_s"],
        **figures,
    )  # fmt: skip


_NOTHING: dict[str, Any] = dict.fromkeys(
    ("traffic_bytes", "flops", "between_hosts_bytes", "estimated_s", "roofline_s", "bound")
) | {"collective_bytes": {}}


def _roofline(slice_name: str, answer: dict[str, Any]) -> dict[str, Any]:
    generation = generation_of(slice_name)
    share = 1 / generation.devices_a_chip
    seconds = {
        COMPUTE: answer["flops"] / (generation.flops_per_s * share),
        MEMORY: answer["traffic_bytes"] / (generation.hbm_bytes_per_s * share),
        INTERCONNECT: answer["sent_bytes"] / (generation.link_bytes_per_s * share),
    }
    bound = max(seconds, key=lambda term: seconds[term])
    return {
        **{name: answer[name] for name in ("traffic_bytes", "flops", "between_hosts_bytes", "collective_bytes")},
        "estimated_s": answer["cycles"] / generation.clock_hz if generation.clock_hz else None,
        "roofline_s": seconds[bound],
        "bound": bound,
    }
