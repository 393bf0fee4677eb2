"""The paper's networks at 32 x 32 latents, as the contests between networks need them; a case is "S/4@8", batch 8.

`torch_dit` is the peer in PyTorch; nothing here imports torch.
"""

from typing import Any

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.model import SIZES, DiTConfig

SIDE, CHANNELS, CLASSES = 32, 4, 1000
GUIDANCE, SAMPLER_STEPS = 1.5, 25


def batch(case: str) -> int:
    """How many images a case has: 8 of "S/4@8"."""
    return int(case.partition("@")[2])


def shape(case: str) -> dict[str, Any]:
    """Width, depth, heads, patch and size of a case's network."""
    size, patch = case.partition("@")[0].split("/")
    return {"size": size, "patch": int(patch), **SIZES[size]._asdict()}


def config(case: str) -> DiTConfig:
    """The network of that case."""
    return run(case).network


def run(case: str) -> RunSpec:
    """The paper's run of that network at the case's batch."""
    return RunSpec.model_validate({
        "model": shape(case) | {"image_size": SIDE, "channels": CHANNELS, "classes": CLASSES},
        "data": {"name": "timed"}, "train": {"steps": 400_000, "batch": batch(case), "log_every": 1},
        "evaluate": {"every": 400_000}, "seed": 0,
    })  # fmt: skip


def torch_shape(case: str) -> dict[str, int]:
    """The same network for `torch_dit`."""
    found = shape(case)
    return {"side": SIDE, **{key: found[key] for key in ("patch", "width", "depth", "heads")}}
