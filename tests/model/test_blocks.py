"""The parts of a block equal the reference's, and every design is conditioned as the paper says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dit_grid.model import BLOCKS, DiT, DiTConfig
from dit_grid.model.attention import fused_attention_fits
from dit_grid.model.blocks import SelfAttention
from dit_grid.model.config import SEQUENCE_BLOCKS
from dit_grid.model.dit import Context
from dit_grid.model.norms import layer_norm, modulate


def test_norm_modulation_and_activations_are_the_references(golden):
    file = golden("primitives")

    @jax.jit
    def run(x, shift, scale, before):
        normed = layer_norm(x)
        return normed, modulate(normed, shift, scale), nnx.gelu(before, approximate=True), nnx.silu(before)

    found = run(*(file[name] for name in ("x", "shift", "scale", "gelu_in")))
    for one, name in zip(found, ("layer_norm", "modulate", "gelu_tanh", "silu"), strict=True):
        # 5e-6: float32 rounding. The first sample has a spread of 1e-3, so that another epsilon would show.
        np.testing.assert_allclose(one, file[name], atol=5e-6)


def test_attention_is_the_references(golden):
    file = golden("primitives")
    shape = DiTConfig(8, 2, 24, 1, int(file["attn.num_heads"]))

    @jax.jit
    def run(x):
        attention = SelfAttention(shape, dtype=jnp.float32, attention="auto", rngs=nnx.Rngs(0))
        for name in ("qkv", "proj"):
            layer = getattr(attention, name)
            layer.kernel[...] = jnp.asarray(file[f"attn.sd.{name}.weight"].T)
            layer.bias[...] = jnp.asarray(file[f"attn.sd.{name}.bias"])
        return attention(x)

    np.testing.assert_allclose(run(file["layer_norm"]), file["attn.out"], atol=5e-6)


X = jax.device_put(np.random.default_rng(0).standard_normal((2, 8, 8, 2), np.float32))
T, Y = map(jax.device_put, (np.array([3.0, 700.0], np.float32), np.array([1, 2], np.int32)))


def config(block: str, **fields) -> DiTConfig:
    return DiTConfig(8, 2, 24, 3, 3, channels=2, classes=5, block=block, **fields)


@pytest.mark.parametrize("block", BLOCKS)
def test_label_and_timestep_reach_every_pixel_of_their_own_image_only(random_network, block):
    model = random_network(config(block))
    run = jax.jit(lambda *inputs: model(*inputs))
    changed = (X, T, np.array([1, 4], np.int32)), (X, np.array([3.0, 750.0], np.float32), Y)
    base, *others = (np.asarray(run(*inputs)) for inputs in ((X, T, Y), *changed))
    for other in others:
        assert (other[1] != base[1]).mean() > 0.99  # all but an accidental tie in float32
        np.testing.assert_array_equal(other[0], base[0])


@pytest.mark.parametrize("block", SEQUENCE_BLOCKS)
def test_a_context_is_seen_where_its_mask_is_true_and_nowhere_else(random_network, block):
    model = random_network(config(block, context_width=7))
    run = jax.jit(lambda words, mask: model(X, T, Context(words, mask)))
    words = np.random.default_rng(1).standard_normal((2, 4, 7), np.float32)
    mask = np.array([[True, True, False, False], [True, True, True, False]])
    base = run(words, mask)
    hidden, shown = words.copy(), words.copy()
    hidden[:, 3], shown[:, 0] = 9, 9
    np.testing.assert_array_equal(run(hidden, mask), base)
    assert (run(shown, mask) != base).mean() > 0.99
    nothing = np.zeros_like(mask)
    assert np.isfinite(run(words, nothing)).all()
    np.testing.assert_array_equal(run(words, nothing), run(shown, nothing))


@pytest.mark.parametrize("block", ["adaln-zero", "cross-attention"])
def test_a_new_network_returns_zero_and_only_adaln_zero_blocks_start_as_the_identity(block):
    graph, _ = nnx.split(nnx.eval_shape(lambda: DiT(config(block), nnx.Rngs(0))))
    state = jax.jit(lambda: nnx.state(DiT(config(block), nnx.Rngs(0))))()

    @jax.jit
    def run(state: nnx.State) -> tuple[jax.Array, ...]:
        model = nnx.merge(graph, state)
        tokens, condition = model._condition(jnp.ones((2, 16, 24)) * jnp.arange(24), T, Y)
        return model(X, T, Y), tokens, model._run_blocks(tokens, condition)

    output, before, after = map(np.asarray, run(state))
    assert not output.any()
    assert bool((after == before).all()) == (block == "adaln-zero")


@pytest.mark.parametrize(
    ("dtype", "head_width", "masked", "capability", "fits"),
    [
        (jnp.bfloat16, 72, False, 9.0, True),  # XL on an H100
        (jnp.bfloat16, 64, False, 8.0, True),
        (jnp.float32, 64, False, 9.0, False),
        (jnp.bfloat16, 11, False, 9.0, False),  # the smallest of the digits grid
        (jnp.bfloat16, 192, False, 8.0, False),
        (jnp.bfloat16, 64, True, 9.0, False),  # captions and the timestep make an odd length
        (jnp.bfloat16, 64, False, 7.5, False),
        (jnp.bfloat16, 64, False, None, False),
    ],
)
def test_fused_attention_is_taken_only_where_it_can_train(dtype, head_width, masked, capability, fits):
    assert fused_attention_fits(dtype, head_width, masked, capability) is fits
