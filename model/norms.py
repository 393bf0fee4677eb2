"""Layer norms: with a scale and a bias that are trained, or with a condition's, and with a gradient for CPU cores.

Dimension key: B batch, T tokens, D width. Norms are computed in float32 whatever the compute dtype.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

NORM_EPSILON = 1e-6
"""Layer norm's epsilon (reference implementation)."""


def layer_norm(x: jax.Array) -> jax.Array:
    """The last axis centred and scaled to unit variance in float32, without trainable parameters, in x's dtype."""
    return _normalized(x)[0].astype(x.dtype)


def modulate(x_BTD: jax.Array, shift_BD: jax.Array, scale_BD: jax.Array) -> jax.Array:
    """x * (1 + scale) + shift, the same for every token of an image."""
    return x_BTD * (1 + scale_BD[:, None, :]) + shift_BD[:, None, :]


class AffineNorm(nnx.Module):
    """Layer norm with a trainable scale and bias, for the designs whose norms are not adaptive."""

    def __init__(self, width: int) -> None:
        self.scale = nnx.Param(jnp.ones((width,)))
        self.bias = nnx.Param(jnp.zeros((width,)))

    def __call__(self, x: jax.Array) -> jax.Array:
        scale, bias = self.scale[...].astype(x.dtype), self.bias[...].astype(x.dtype)
        return layer_norm(x) * scale + bias


def modulated_norm(x_BTD: jax.Array, shift_BD: jax.Array, scale_BD: jax.Array, on_cores: bool) -> jax.Array:
    """Layer norm, modulated; with `on_cores` its gradient is the one written for CPU cores, in float32."""
    if on_cores:
        return _modulated(x_BTD, shift_BD, scale_BD)
    return modulate(layer_norm(x_BTD), shift_BD, scale_BD)


def _normalized(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The last axis centred and scaled to unit variance, and what it was scaled by (..., 1), both float32."""
    x32 = x.astype(jnp.float32)
    centred = x32 - x32.mean(axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + NORM_EPSILON)
    return centred * scale, scale


@jax.custom_vjp
def _modulated(x_BTD: jax.Array, shift_BD: jax.Array, scale_BD: jax.Array) -> jax.Array:
    """Modulated layer norm whose gradient keeps the normalized tokens.

    Autodiff goes through the variance and the mean one after the other, each a pass over all tokens for a CPU core.
    """
    return _forward(x_BTD, shift_BD, scale_BD)[0]


def _forward(x_BTD: jax.Array, shift_BD: jax.Array, scale_BD: jax.Array) -> tuple[jax.Array, Any]:
    normal_BTD, by_BT1 = _normalized(x_BTD)
    return modulate(normal_BTD, shift_BD, scale_BD), (normal_BTD, by_BT1, scale_BD)


def _backward(saved: Any, grad_BTD: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """With h the gradient of the normalized n, x has (h - mean h - n mean(h n)) by what it was scaled by.

    h is the gradient times 1 + scale, so both means are products of matrices with that vector, and h is never formed.
    """
    normal_BTD, by_BT1, scale_BD = saved
    along_BTD, factor_BD = grad_BTD * normal_BTD, 1 + scale_BD
    mean_BT1, mean_along_BT1 = (_means(one_BTD, factor_BD) for one_BTD in (grad_BTD, along_BTD))
    towards_BTD = by_BT1 * (grad_BTD * factor_BD[:, None] - mean_BT1 - normal_BTD * mean_along_BT1)
    return towards_BTD, grad_BTD.sum(axis=1), along_BTD.sum(axis=1)


def _means(x_BTD: jax.Array, factor_BD: jax.Array) -> jax.Array:
    """The mean over the width of x times an image's factors (B, T, 1)."""
    return jnp.einsum("btd,bd->bt", x_BTD, factor_BD)[..., None] / x_BTD.shape[-1]


_modulated.defvjp(_forward, _backward)
