"""Networks without numbers: what they are made of and the shapes of their parameters, traced once a process.

To trace the constructor of a network with hundreds of arrays takes seconds: each draw of a key asks JAX for the place
of a traced value, which answers by looking through all that was traced before it.
"""

from functools import cache

import jax
from flax import nnx

from dit_grid.model.config import DiTConfig
from dit_grid.model.dit import DiT


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
