"""Networks without numbers are traced once; what is made of one shares nothing with the next."""

import jax
import jax.numpy as jnp
from flax import nnx

from dit_grid.model import DiTConfig
from dit_grid.model.abstract import abstract_dit


def test_filling_one_network_leaves_the_next_without_numbers():
    config = DiTConfig(8, 4, 16, 1, 2, channels=1, classes=3)
    kernel = nnx.merge(*abstract_dit(config)).patches.kernel
    kernel.set_value(jnp.ones(kernel.shape))
    assert {type(leaf) for leaf in jax.tree.leaves(abstract_dit(config)[1])} == {jax.ShapeDtypeStruct}
