"""Conditions given as sequences: dropped at the rate asked for, and guided against no condition at all."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dit_grid.model import NULL_CONTEXT, Context, DiTConfig, drop_contexts
from dit_grid.model.config import SEQUENCE_BLOCKS
from dit_grid.model.samplers import Guidance, guided

WORDS = np.random.default_rng(0).standard_normal((2, 3, 7), np.float32)
MASK = np.array([[True, True, False], [True, True, True]])


def test_a_dropped_context_is_masked_altogether_and_the_rest_are_as_they_were():
    mask: Any = np.resize(MASK, (20_000, 3))
    given = Context(jnp.zeros((20_000, 3, 1)), mask)
    dropped = jax.jit(lambda context: drop_contexts(jax.random.key(0), context, rate=0.1).mask)(given)
    left = np.asarray(dropped)
    gone = ~left.any(axis=1)
    assert gone.mean() == pytest.approx(0.1, abs=0.009)  # four standard errors
    np.testing.assert_array_equal(left[~gone], mask[~gone])


@pytest.mark.parametrize("block", SEQUENCE_BLOCKS)
def test_guidance_goes_from_no_condition_through_the_caption(random_network, block):
    model = random_network(DiTConfig(4, 2, 16, 1, 2, channels=1, block=block, context_width=7))
    x, t = jax.device_put((np.random.default_rng(1).standard_normal((2, 4, 4, 1), np.float32), np.array([500, 500])))
    run = jax.jit(lambda mask: model(x, t, Context(WORDS, mask)))
    caption, nothing = np.asarray(run(MASK)), np.asarray(run(np.zeros_like(MASK)))
    both = guided(model, Guidance(3.0, channels=None), NULL_CONTEXT)
    found = np.asarray(jax.jit(lambda mask: both(x, t, Context(WORDS, mask)))(MASK))
    # 1e-5 of values near 1: the two halves go through matrix products of another batch size.
    np.testing.assert_allclose(found[..., :1], (nothing + 3 * (caption - nothing))[..., :1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[..., 1:], caption[..., 1:], rtol=1e-5, atol=1e-5)
    assert (caption != nothing).all()
