"""Our own gradient of attention against XLA's, and where it is taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dit_grid.model.attention import attend


def drawn(shape: tuple[int, ...], count: int) -> list[jax.Array]:
    return list(map(jax.device_put, np.random.default_rng(0).standard_normal((count, *shape), np.float32)))


@pytest.mark.parametrize(("tokens", "keys"), [(16, 16), (1, 1), (9, 5)])
def test_attention_for_cpus_has_the_values_and_gradients_of_xlas(tokens, keys):
    q, towards = drawn((3, tokens, 2, 8), 2)
    k, v = drawn((3, keys, 2, 8), 2)

    def loss(attention):
        return lambda q, k, v: (attend(q, k, v, None, attention) * towards).sum()

    @jax.jit
    def both(*given):
        return [jax.value_and_grad(loss(name), argnums=(0, 1, 2))(*given) for name in ("cpu", "xla")]

    ours, xlas = (list(map(np.asarray, jax.tree.leaves(one))) for one in both(q, k, v))
    for ours_, xlas_ in zip(ours, xlas, strict=True):
        assert np.abs(ours_ - xlas_).max() <= 1e-5 * max(1.0, float(np.abs(xlas_).max()))


def test_large_scores_do_not_overflow():
    q, k, v = drawn((1, 4, 1, 8), 3)
    values, grads = jax.jit(jax.value_and_grad(lambda q: attend(q, k, v, None, "cpu").sum()))(q * 1e4)
    assert np.isfinite(values)
    assert np.isfinite(grads).all()


def test_masked_keys_get_no_weight_whichever_attention_is_asked_for():
    q, k, v = drawn((1, 4, 1, 8), 3)
    mask = jax.device_put(np.array([[True, True, False, True]]))
    other = np.array(v)
    other[:, 2] = 1e6
    run = jax.jit(lambda v: attend(q, k, v, mask, "cpu"))
    np.testing.assert_array_equal(run(v), run(other))


def test_on_cpus_attention_in_float32_is_our_own_and_of_halves_is_xlas():
    q, k, v = drawn((1, 4, 1, 8), 3)
    assert "custom_vjp" in str(jax.make_jaxpr(lambda q: attend(q, k, v, None, "auto"))(q))
    half = jnp.bfloat16
    whole = jax.make_jaxpr(lambda q: attend(q, k.astype(half), v.astype(half), None, "auto"))(q.astype(half))
    assert "custom_vjp" not in str(whole)
