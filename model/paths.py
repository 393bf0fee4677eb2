"""Paths from noise to images as SiT has them: x_t = alpha(t) * image + sigma(t) * noise, t from 0 (noise) to 1 (image).

Coefficients and the diffusion that a stochastic sampler may add; arrays of any shape, float32. Written so that nothing
cancels near either end, where the textbook forms lose up to 1 % in float32. Source: Ma et al. (2024), arXiv 2401.08740.
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from dit_grid.model.spaces import Gains

PathName = Literal["linear", "gvp", "vp"]
DiffusionForm = Literal["constant", "sbdm", "sigma", "linear", "decreasing", "increasing-decreasing"]

BETA_MIN, BETA_MAX = 0.1, 20.0
"""Ends of the variance-preserving path's rate (Song et al. 2021, appendix C)."""

QUARTER = math.pi / 2


class Coefficients(NamedTuple):
    """A path at times t: alpha, sigma and their derivatives, and what follows from them, each in a form that is exact.

    `rest` is alpha / alpha', `gap` sigma^2 - rest * sigma' * sigma, and `turn` alpha' * sigma - sigma' * alpha.
    """

    alpha: jax.Array
    sigma: jax.Array
    d_alpha: jax.Array
    d_sigma: jax.Array
    rest: jax.Array
    gap: jax.Array
    turn: jax.Array

    @property
    def drift_variance(self) -> jax.Array:
        """Half the squared noise rate of the diffusion that has these marginals: (alpha'/alpha) sigma^2 - sigma sigma'.

        Infinite where alpha is 0.
        """
        return self.gap / self.rest

    @property
    def gains(self) -> Gains:
        """With x_t known, alpha * (error of the image) + sigma * (error of the noise) = 0; the rest follows."""
        return Gains(self.alpha, self.sigma, self.turn)


def coefficients(path: PathName, t: jax.Array) -> Coefficients:
    """The path at times t."""
    left = 1 - t
    if path == "linear":
        one = jnp.ones_like(t)
        return Coefficients(t, left, one, -one, rest=t, gap=left, turn=one)
    if path == "gvp":
        alpha, sigma = jnp.sin(QUARTER * t), jnp.sin(QUARTER * left)  # cos(QUARTER * t), and exact at its zero
        one = jnp.ones_like(t)
        return Coefficients(
            alpha, sigma, QUARTER * sigma, -QUARTER * alpha, rest=alpha / (QUARTER * sigma), gap=one, turn=QUARTER * one
        )
    beta = BETA_MIN + (BETA_MAX - BETA_MIN) * left
    integral = ((BETA_MAX - BETA_MIN) / 2 * left + BETA_MIN) * left
    alpha, sigma = jnp.exp(-integral / 2), jnp.sqrt(-jnp.expm1(-integral))
    half = beta / 2
    return Coefficients(
        alpha, sigma, alpha * half, -jnp.square(alpha) * half / sigma,
        rest=1 / half, gap=jnp.ones_like(t), turn=alpha * half / sigma,
    )  # fmt: skip


def diffusion_of(form: DiffusionForm, norm: float, path: PathName, t: jax.Array) -> jax.Array:
    """The diffusion w of a stochastic sampler at times t: noise of variance 2 w dt is added (SiT, section 3.3).

    Every w that is positive leaves the marginals as they are; "sbdm" is the one of score-based diffusion, infinite at
    t = 0 of the linear and GVP paths.
    """
    at = coefficients(path, t)
    if form == "constant":
        return jnp.full_like(t, norm)
    if form == "sbdm":
        return norm * at.drift_variance
    if form == "sigma":
        return norm * at.sigma
    if form == "linear":
        return norm * (1 - t)
    if form == "decreasing":
        return 0.25 * jnp.square(norm * jnp.cos(math.pi * t) + 1)
    return norm * jnp.square(jnp.sin(math.pi * t))
