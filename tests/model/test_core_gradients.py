"""The gradients written for CPU cores are those of the network that XLA derives, and are taken where they should be."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dit_grid.model import BLOCKS, DiT, DiTConfig
from dit_grid.model.attention import Attention
from dit_grid.model.dit import Context
from dit_grid.model.feed_forward import FeedForward
from dit_grid.model.norms import modulated_norm

LABELS = np.array([0, 2, 3])


def config_of(block: str, patch: int) -> DiTConfig:
    return DiTConfig(image_size=8, patch=patch, channels=1, classes=3, width=16, depth=1, heads=2, block=block)


def drawn(*shape: int) -> jax.Array:
    return jax.device_put(np.random.default_rng(len(shape)).standard_normal(shape, np.float32))


def network_gradients(config: DiTConfig, attention: Attention, given: Any = LABELS) -> list[np.ndarray]:
    """The loss and the gradient of every parameter, all of them away from zero, for one batch."""
    graph, params = nnx.split(DiT(config, nnx.Rngs(0), attention=attention), nnx.Param)
    leaves, tree = jax.tree.flatten(params)
    keys = np.random.default_rng(1)
    params = jax.tree.unflatten(
        tree, [leaf + 0.1 * keys.standard_normal(leaf.shape).astype(np.float32) for leaf in leaves]
    )
    images, times = drawn(3, 8, 8, 1), jnp.asarray([0.0, 400.0, 999.0])

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        return jnp.square(nnx.merge(graph, params)(images, times, given) - 1).sum()

    return [np.asarray(leaf) for leaf in jax.tree.leaves(loss(params))]


def assert_alike(ours: list[np.ndarray], xlas: list[np.ndarray]) -> None:
    for ours_, xlas_ in zip(ours, xlas, strict=True):
        assert np.abs(ours_ - xlas_).max() <= 3e-5 * max(1.0, float(np.abs(xlas_).max()))


@pytest.mark.parametrize(("block", "patch"), [*((block, 4) for block in BLOCKS), ("adaln-zero", 8)])
def test_a_networks_gradients_are_those_of_autodiff(block, patch):
    assert_alike(*(network_gradients(config_of(block, patch), attention) for attention in ("cpu", "xla")))


def test_norms_are_modulated_alike_near_the_least_variance():
    """A token whose features are all but equal is where the variance's epsilon counts."""
    x, shift, scale, towards = drawn(2, 3, 16), drawn(2, 16), drawn(2, 16)[::-1], drawn(2, 3, 16)[:, ::-1]
    x = x.at[0, 0].multiply(1e-4)

    def both(x, shift, scale, on_cores):
        return jax.vjp(partial(modulated_norm, on_cores=on_cores), x, shift, scale)[1](towards)

    for ours, xlas in zip(both(x, shift, scale, True), both(x, shift, scale, False), strict=True):
        np.testing.assert_allclose(ours, xlas, rtol=2e-4, atol=2e-5 * float(np.abs(xlas).max()))


def test_gelu_far_out_has_the_slopes_one_and_zero():
    network = FeedForward(config_of("adaln-zero", 4), dtype=jnp.float32, rngs=nnx.Rngs(0), on_cores=True)
    graph, params = nnx.split(network, nnx.Param)
    params = jax.tree.map(jnp.zeros_like, params)
    params["fc2"]["kernel"] = params["fc2"]["kernel"].replace(jnp.ones((64, 16)))
    params["fc1"]["bias"] = params["fc1"]["bias"].replace(jnp.full(64, 1e4).at[::2].set(-1e4))
    grads = jax.grad(lambda params: nnx.merge(graph, params)(jnp.zeros((1, 1, 16))).sum() / 16)(params)
    np.testing.assert_array_equal(grads["fc1"]["bias"][...], np.tile([0, 1], 32).astype(np.float32))


def test_one_token_keeps_only_its_value():
    """Its attention has weight one: queries and keys have the gradient zero, as by autodiff."""
    graph, params = nnx.split(DiT(config_of("adaln-zero", 8), nnx.Rngs(0)), nnx.Param)
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    grads = jax.grad(lambda p: nnx.merge(graph, p)(drawn(2, 8, 8, 1), jnp.zeros(2), jnp.zeros(2, int)).sum())(params)
    kernel = np.asarray(grads["blocks"]["attn"]["qkv"]["kernel"][...])
    assert (kernel[..., :32] == 0).all()
    assert (kernel[..., 32:] != 0).any()


@pytest.mark.parametrize(
    ("dtype", "attention", "taken"),
    [("float32", "auto", True), (jnp.float32, "auto", True), ("bfloat16", "auto", False), ("float32", "xla", False)],
)
def test_they_are_taken_on_cores_in_float32(dtype, attention, taken):
    network = DiT(config_of("adaln-zero", 4), nnx.Rngs(0), dtype=dtype, attention=attention)
    traced = str(jax.make_jaxpr(network)(drawn(2, 8, 8, 1), jnp.zeros(2), jnp.zeros(2, int)))
    assert [name in traced for name in ("_heads_attention", "_gelu", "_modulated", "narrowing_product")] == [taken] * 4


def test_of_bfloat16_only_attention_is_taken_where_it_is_asked_for():
    network = DiT(config_of("adaln-zero", 4), nnx.Rngs(0), dtype="bfloat16", attention="cpu")
    graph, params = nnx.split(network, nnx.Param)
    given = drawn(2, 8, 8, 1), jnp.zeros(2), jnp.zeros(2, int)
    traced = str(jax.make_jaxpr(network)(*given))
    assert [name in traced for name in ("_heads_attention", "_gelu", "_modulated")] == [True, False, False]
    grads = jax.jit(jax.grad(lambda params: nnx.merge(graph, params)(*given).sum()))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_gradients_are_those_of_autodiff_for_a_condition_given_as_a_sequence():
    config = DiTConfig(
        image_size=8, patch=4, channels=1, classes=3, width=16, depth=1, heads=2, block="cross-attention",
        context_width=4, context_length=3,
    )  # fmt: skip
    given = Context(drawn(3, 3, 4), jnp.asarray([[True, True, False], [False] * 3, [True] * 3]))
    assert_alike(*(network_gradients(config, attention, given) for attention in ("cpu", "xla")))
