"""The exponential moving average of the parameters, which the paper samples from.

Both functions are pure; where the average lives and when it is updated is the training loop's.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp

PAPER_DECAY = 0.9999
"""Peebles & Xie (2022), section 4."""

Tree = TypeVar("Tree")


def ema_update(ema: Tree, params: Tree, decay: jax.typing.ArrayLike) -> Tree:
    """The average after one more update: decay * ema + (1 - decay) * params, leaf by leaf."""
    return jax.tree.map(lambda e, p: decay * e + (1 - decay) * p, ema, params)


def ema_decay(step: jax.typing.ArrayLike, decay: float = PAPER_DECAY, warmup: bool = False) -> jax.Array:
    """The decay for the update that completes `step` (from 1); with `warmup` at most (1 + step) / (10 + step).

    The paper does not warm up. The ramp, of TensorFlow's ExponentialMovingAverage with num_updates, makes the average
    usable in runs too short for the full decay, whose memory is 1 / (1 - decay) updates.
    """
    step = jnp.asarray(step, jnp.float32)
    return jnp.minimum(decay, (1 + step) / (10 + step)) if warmup else jnp.full_like(step, decay)
