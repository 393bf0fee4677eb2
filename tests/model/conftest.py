"""Golden numbers of the reference implementation for the tests of this folder: arrays, layouts and networks.

The arrays come from running the reference implementation and are never regenerated from our own output.
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from dit_grid.model import DiT, DiTConfig
from dit_grid.model.abstract import abstract_dit
from dit_grid.model.weights import from_tensors

WEIGHTS = ("sd.", "grad1.", "after.", "ema.")
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(autouse=True)
def _numerics_first() -> Iterator[None]:
    """Full precision, which accelerators do not use by default, and half the compilation time, at the cost of speed."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with jax.default_matmul_precision("highest"):
        yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    """Loads a golden file; images become channels-last (they are the arrays with 4 or 8 channels before two sides)."""
    return _load


@pytest.fixture(scope="session")
def golden_network() -> Callable[[dict[str, np.ndarray]], DiT]:
    """Builds the network whose state dict and configuration a golden file holds."""
    return _network


@pytest.fixture(scope="session")
def random_network() -> Callable[..., DiT]:
    """Builds a network of a configuration with every weight random, so that no gate is closed, without compiling."""
    return _random_network


def _random_network(config: DiTConfig, **options: Any) -> DiT:
    graph, state = _traced(config, **options)
    draw = np.random.default_rng(0)
    return nnx.merge(
        graph, jax.tree.map(lambda leaf: jax.device_put(0.15 * draw.standard_normal(leaf.shape, np.float32)), state)
    )


@cache
def _traced(config: DiTConfig, **options: Any) -> tuple[nnx.GraphDef[DiT], nnx.State]:
    return nnx.split(nnx.eval_shape(lambda: DiT(config, nnx.Rngs(0), **options)))


def _load(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: file[key] if key.startswith(WEIGHTS) else _last(file[key]) for key in file}


def _last(array: np.ndarray) -> np.ndarray:
    images = array.ndim >= 4 and array.shape[-3] in (4, 8) and array.shape[-1] == array.shape[-2]
    return np.moveaxis(array, -3, -1) if images else array


def _network(file: dict[str, np.ndarray]) -> DiT:
    names = ("latent", "patch", "hidden", "depth", "heads", "classes")
    side, patch, width, depth, heads, classes = (int(file[f"config.{name}"]) for name in names)
    config = DiTConfig(side, patch, width, depth, heads, classes=classes)
    tensors = {key.removeprefix("sd."): array for key, array in file.items() if key.startswith("sd.")}
    graph, _ = abstract_dit(config)
    return nnx.merge(graph, from_tensors(config, tensors))
