"""What a diffusion transformer is: architecture, diffusion, samplers, cost accounting and weights.

Names load on first use, so that `dit_grid.model.config` and `dit_grid.model.accounting` never import JAX.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dit_grid.model.config import BLOCKS, SIZES, ConfigError, DiTConfig
    from dit_grid.model.diffusion import Diffusion
    from dit_grid.model.dit import NULL_CONTEXT, Context, DiT, drop_contexts, drop_labels
    from dit_grid.model.samplers import sample, sample_chunks
    from dit_grid.model.schedules import Schedule

_HOMES = {
    "BLOCKS": "config",
    "SIZES": "config",
    "ConfigError": "config",
    "DiTConfig": "config",
    "Diffusion": "diffusion",
    "Context": "dit",
    "DiT": "dit",
    "NULL_CONTEXT": "dit",
    "drop_contexts": "dit",
    "drop_labels": "dit",
    "sample": "samplers",
    "sample_chunks": "samplers",
    "Schedule": "schedules",
}

__all__ = [
    "BLOCKS",
    "NULL_CONTEXT",
    "SIZES",
    "ConfigError",
    "Context",
    "DiT",
    "DiTConfig",
    "Diffusion",
    "Schedule",
    "drop_contexts",
    "drop_labels",
    "sample",
    "sample_chunks",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
