"""Our own gradient of attention against XLA's, and where it is taken."""

import jax
import jax.numpy as jnp
import pytest

from dit_grid.model.attention import attend


def drawn(shape: tuple[int, ...], count: int) -> list[jax.Array]:
    return [jax.random.normal(key, shape) for key in jax.random.split(jax.random.key(0), count)]


@pytest.mark.parametrize(("tokens", "keys"), [(16, 16), (1, 1), (9, 5)])
def test_attention_for_cpus_has_the_values_and_gradients_of_xlas(tokens, keys):
    q, towards = drawn((3, tokens, 2, 8), 2)
    k, v = drawn((3, keys, 2, 8), 2)

    def loss(attention):
        return lambda q, k, v: (attend(q, k, v, None, attention) * towards).sum()

    ours, xlas = (jax.value_and_grad(loss(name), argnums=(0, 1, 2))(q, k, v) for name in ("cpu", "xla"))
    for ours_, xlas_ in zip(jax.tree.leaves(ours), jax.tree.leaves(xlas), strict=True):
        assert jnp.abs(ours_ - xlas_).max() <= 1e-5 * max(1.0, float(jnp.abs(xlas_).max()))


def test_large_scores_do_not_overflow():
    q, k, v = drawn((1, 4, 1, 8), 3)
    values, grads = jax.value_and_grad(lambda q: attend(q, k, v, None, "cpu").sum())(q * 1e4)
    assert bool(jnp.isfinite(values))
    assert bool(jnp.isfinite(grads).all())


def test_masked_keys_get_no_weight_whichever_attention_is_asked_for():
    q, k, v = drawn((1, 4, 1, 8), 3)
    mask = jnp.array([[True, True, False, True]])
    other = v.at[:, 2].set(1e6)
    assert bool((attend(q, k, v, mask, "cpu") == attend(q, k, other, mask, "cpu")).all())


def test_on_cpus_attention_in_float32_is_our_own_and_of_halves_is_xlas():
    q, k, v = drawn((1, 4, 1, 8), 3)
    assert "custom_vjp" in str(jax.make_jaxpr(lambda q: attend(q, k, v, None, "auto"))(q))
    half = jnp.bfloat16
    whole = jax.make_jaxpr(lambda q: attend(q, k.astype(half), v.astype(half), None, "auto"))(q.astype(half))
    assert "custom_vjp" not in str(whole)
