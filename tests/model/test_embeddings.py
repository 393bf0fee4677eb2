"""Tables and the mapping between pixels and tokens equal the reference implementation's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dit_grid.model.embeddings import LabelEmbedding, patchify, position_table, timestep_table, unpatchify


@pytest.mark.parametrize(("width", "grid"), [(384, 16), (48, 4), (1152, 2)])
def test_position_table_is_the_references_to_the_bit(golden, width, grid):
    expected = golden("embeddings")[f"pos_embed.dim{width}_grid{grid}"]
    np.testing.assert_array_equal(position_table(width, grid), expected)


@pytest.mark.parametrize("width", [256, 48, 7])
def test_timestep_table_takes_fractional_timesteps_and_odd_widths(golden, width):
    file = golden("embeddings")
    table = jax.jit(lambda t: timestep_table(t, width))(file["timesteps"])
    # 1e-4: the argument t * f is near 1000, where one float32 rounding moves its cosine by up to 6e-5.
    np.testing.assert_allclose(table, file[f"timestep_embedding.dim{width}"], atol=1e-4)


def test_patches_are_the_references_in_another_order_within_each(golden):
    file = golden("primitives")
    tokens = patchify(jnp.asarray(file["patchify.image"]), 2)
    reference = file["patchify.tokens"].reshape(1, 16, 4, 2, 2)  # channel, row, column within a patch
    np.testing.assert_array_equal(tokens, reference.transpose(0, 1, 3, 4, 2).reshape(1, 16, 16))


def test_unpatchify_is_the_references_and_inverts_patchify(golden):
    file = golden("primitives")
    tokens, image = jnp.asarray(file["unpatchify.tokens"]), file["unpatchify.image"]
    np.testing.assert_array_equal(unpatchify(tokens, 2), image)
    np.testing.assert_array_equal(patchify(unpatchify(tokens, 2), 2), tokens)


def test_a_label_out_of_range_is_nan_where_its_value_cannot_be_checked():
    table = LabelEmbedding(3, 4, dtype=jnp.float32, rngs=nnx.Rngs(0))
    rows = table(jnp.array([0, 3, 4, -1]))
    assert np.isfinite(rows[:2]).all()
    assert np.isnan(rows[2:]).all()
