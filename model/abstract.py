"""Networks without numbers: what they are made of and the shapes of their parameters, traced once a process.

Each draw of one of Flax's keys asks JAX for the place of a traced value, which answers by looking through all that was
traced before it (Flax 0.12, JAX 0.10): half a second for the 94 convolutions of Inception.
"""

from collections.abc import Callable
from functools import cache
from typing import TypeVar, cast

import jax
from flax import nnx

from dit_grid.model.config import DiTConfig
from dit_grid.model.dit import DiT

Network = TypeVar("Network", bound=nnx.Module)


def abstract_dit(config: DiTConfig) -> tuple[nnx.GraphDef[DiT], nnx.State]:
    """Return the definition of this configuration's network, for `nnx.merge`, and its parameters as shapes."""
    definition, shapes = _traced(config)
    return definition, own_variables(shapes)


def own_variables(state: nnx.State) -> nnx.State:
    """Return the state in variables of its own: a network that is merged holds those of the state, and fills them."""
    return jax.tree.map(lambda held: held, state)


@cache
def _traced(config: DiTConfig) -> tuple[nnx.GraphDef[DiT], nnx.State]:
    return nnx.split(nnx.eval_shape(lambda: DiT(config, nnx.Rngs(0))), nnx.Param)


def network_shapes(build: Callable[[nnx.Rngs], Network]) -> Network:
    """Return the network that `build` makes, with shapes in place of arrays; one key stands for all that it draws.

    For a network of hundreds of layers by themselves. One whose blocks are stacked, as a DiT's, splits its keys, and is
    traced in no time anyhow.
    """
    return nnx.eval_shape(lambda: build(cast(nnx.Rngs, _OneKey())))


class _OneKey:
    """In the place of `nnx.Rngs`, as far as constructors use it."""

    def __init__(self) -> None:
        self._key = jax.random.key(0)

    def params(self) -> jax.Array:
        """The key."""
        return self._key
