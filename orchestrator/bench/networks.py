"""The paper's networks at 32 x 32 latents, as the contests between networks need them.

`torch_dit` is the peer in PyTorch; nothing here imports torch.
"""

from typing import Any

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.model import SIZES, DiTConfig

SIDE, CHANNELS, CLASSES, BATCH = 32, 4, 1000, 8
GUIDANCE, SAMPLER_STEPS = 1.5, 50


def shape(name: str) -> dict[str, Any]:
    """Width, depth, heads, patch and size of "S/4"."""
    size, patch = name.split("/")
    return {"size": size, "patch": int(patch), **SIZES[size]._asdict()}


def config(name: str) -> DiTConfig:
    """The network of that name."""
    return run(name).network


def run(name: str) -> RunSpec:
    """The paper's run of that network at a small batch."""
    return RunSpec.model_validate({
        "model": shape(name) | {"image_size": SIDE, "channels": CHANNELS, "classes": CLASSES},
        "data": {"name": "timed"}, "train": {"steps": 400_000, "batch": BATCH, "log_every": 1},
        "evaluate": {"every": 400_000}, "seed": 0,
    })  # fmt: skip


def torch_shape(name: str) -> dict[str, int]:
    """The same network for `torch_dit`."""
    found = shape(name)
    return {"side": SIDE, **{key: found[key] for key in ("patch", "width", "depth", "heads")}}
