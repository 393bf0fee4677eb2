"""What a network predicts, in which space its error is counted, and at which times: the parts all objectives share.

Noise, clean image and velocity are linear in one another once the noised image is known, so an error in one is a known
multiple of the error in another. Where the noised image comes from is `diffusion` and `flow`.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

Prediction = Literal["epsilon", "x0", "velocity", "score"]
Space = Literal["epsilon", "x0", "velocity"]

FLOOR = 0.05
"""Least divisor when an error is carried into another space, where it would grow without limit towards one end of time
(Li & He 2025, arXiv 2511.13720, clip 1 - t there)."""


class LogitNormal(NamedTuple):
    """Times whose logit is normal: 0 is all noise and 1 the clean image, so a negative mean favours noise.

    Source: Esser et al. (2024), section 3.1; Li & He (2025) take mean -0.8 and spread 0.8.
    """

    mean: float = 0.0
    spread: float = 1.0

    def draw(self, key: jax.Array, count: int) -> jax.Array:
        """Times (count,) in (0, 1)."""
        return jax.nn.sigmoid(self.mean + self.spread * jax.random.normal(key, (count,)))


class Gains(NamedTuple):
    """How much the same mistake weighs in each space, up to a common factor, at some times: all of one shape."""

    epsilon: jax.Array
    x0: jax.Array
    velocity: jax.Array


def carried(error: jax.Array, prediction: Prediction, space: Space | None, gains: Gains) -> jax.Array:
    """The error of a prediction as an error in `space`; as it is for the prediction's own space or None.

    A score's own error is that of the noise it implies. No divisor is under FLOOR.
    """
    own: Space = "epsilon" if prediction == "score" else prediction
    if space is None or space == own:
        return error
    return error * getattr(gains, space) / jnp.maximum(getattr(gains, own), FLOOR)
