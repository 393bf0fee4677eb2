"""An estimate of the memory that training takes of a GPU, from accounting alone: no compiler here knows GPUs.

It is a guide that refuses nothing; evaluations are not in it. What TPUs take, their compiler says (`compiling`).
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dit_grid.experiments.spec import AnyRun, RunSpec
from dit_grid.model import accounting

GIB = 1 << 30

MOMENTS = {"adamw": 2, "adam": 2, "lion": 1, "sgd": 1}
"""Arrays of the parameters' size that each optimizer keeps."""

GPUS_A_HOST = 8
"""At most, where the spec does not say which share a copy of the state: what the clouds rent as one machine."""

JAX_TAKES = 0.75
"""Share of a GPU's memory that JAX allocates unless told otherwise (JAX's documentation, GPU memory allocation)."""


class Card(NamedTuple):
    """A GPU, its memory in GiB, and where that is published.

    Makers write GB and mean about as many GiB: an A100 80GB has 81,920 MiB, an H200 of 141 GB 143,771 (nvidia-smi).
    """

    name: str
    gib: int
    source: str


_GOOGLE = "Google Cloud, GPU machine types (cloud.google.com/compute/docs/gpus)"
CARDS = (
    Card("T4", 16, _GOOGLE),
    Card("L4", 24, _GOOGLE),
    Card("A100 40GB", 40, _GOOGLE),
    Card("L40S", 48, "Hugging Face's page of the card (huggingface.co/hardware/l40s)"),
    Card("A100 80GB, H100", 80, f"{_GOOGLE}: 640 GB of 8 H100"),
    Card("H200", 141, "Hugging Face's page of the card (huggingface.co/hardware/h200), after NVIDIA's H200 page"),
    Card("B200", 180, "MLPerf Inference 6.0, systems/nebius_b200_n1.json; others list 192"),
)
"""The smallest first; their sources were looked up on 28 November 2026."""


def estimated_bytes(run: AnyRun) -> int | None:
    """Return about how much memory one GPU needs at the peak of an update; None of what is not known, or not on GPUs.

    In float32 the parameters, their average, the optimizer's moments and the gradients, divided among the devices that
    share a copy, and what the backward pass keeps of the GPU's part of a batch (`accounting.activation_bytes`).
    """
    gpus = run.execution.resources.gpus
    if gpus is None or not isinstance(run, RunSpec):
        return None
    return state_bytes(run, _sharers(run, gpus)) + kept_bytes(run, gpus)


def state_bytes(run: RunSpec, sharers: int = 1) -> int:
    """Return the bytes of training state and gradients on each of so many devices that share a copy."""
    copies = 3 + MOMENTS[run.train.optimizer.name]
    return 4 * copies * accounting.trainable_params(run.network) // sharers


def kept_bytes(run: RunSpec, devices: int = 1) -> int:
    """Return the bytes that the backward pass keeps on each of so many devices, of a part of the batch at a time."""
    images = math.ceil(run.train.batch / run.train.accumulate / devices)
    size = 2 if run.train.dtype == "bfloat16" else 4
    return accounting.activation_bytes(run.network, images, compute_bytes=size, remat=run.execution.remat)


def estimates(runs: Iterable[AnyRun]) -> dict[str, int]:
    """Return run id -> estimated bytes of a GPU, of the runs on GPUs."""
    return {run.id: held for run in runs if (held := estimated_bytes(run)) is not None}


def estimate_lines(runs: Iterable[AnyRun], held: Mapping[str, int]) -> list[str]:
    """Return what is said of the estimates: the largest, and which card would hold it."""
    there = [run for run in runs if run.id in held]
    if not there:
        return []
    most = max(there, key=lambda run: held[run.id])
    needed = held[most.id] / GIB
    large = [card for card in CARDS if needed <= JAX_TAKES * card.gib]
    fits = f"{large[0].gib} GiB or more ({large[0].name})" if large else f"more than {CARDS[-1].gib} GiB"
    return [
        f"training takes up to about {needed:.1f} GiB of each GPU ({most.model.name}; an estimate, good to a factor of "
        f"two, evaluation not in it); as JAX takes {JAX_TAKES:.0%} of a card by default, that is one of {fits}"
    ]


def _sharers(run: RunSpec, gpus: int) -> int:
    execution = run.execution
    if execution.mesh is not None:
        return min(execution.mesh.fsdp * (execution.mesh.tensor or 1), gpus)
    return {"replicated": 1, "host": min(gpus, GPUS_A_HOST), "fsdp": gpus}[execution.layout]
