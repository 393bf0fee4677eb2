"""Softmax attention, by XLA, by cuDNN's fused kernel, or by a gradient of our own for CPUs; which one is chosen here.

Dimension key: B batch, T query tokens, L key tokens, N heads, K head width.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp

Attention = Literal["auto", "xla", "cudnn", "cpu"]


def attend(
    q_BTNK: jax.Array, k_BLNK: jax.Array, v_BLNK: jax.Array, mask_BL: jax.Array | None, attention: Attention
) -> jax.Array:
    """Softmax attention (B, T, N, K), scores scaled by K^-1/2 and softmax in float32; masked keys get no weight.

    "auto" takes cuDNN's fused kernel on a GPU where `fused_attention_fits`, our own gradient on CPUs in float32, else
    XLA's.
    """
    if mask_BL is None and (attention == "cpu" or for_cores(attention, q_BTNK.dtype)):
        return _by_heads(q_BTNK, k_BLNK, v_BLNK)
    mask = None if mask_BL is None else mask_BL[:, None, None, :]
    if attention == "auto":
        fits = fused_attention_fits(q_BTNK.dtype, q_BTNK.shape[-1], mask is not None, _compute_capability())
        attention = "cudnn" if fits else "xla"
    implementation: Literal["xla", "cudnn"] = "cudnn" if attention == "cudnn" else "xla"
    return jax.nn.dot_product_attention(q_BTNK, k_BLNK, v_BLNK, mask=mask, implementation=implementation)


def for_cores(attention: Attention, dtype: jax.typing.DTypeLike) -> bool:
    """Whether a float32 network with this attention takes the gradients written for CPU cores; no other does.

    "auto" does where this process computes on CPU cores. Besides attention's they are those of norms and feed-forward
    networks.
    """
    on_cores = attention == "cpu" or (attention == "auto" and jax.default_backend() == "cpu")
    return on_cores and jnp.dtype(dtype) == jnp.float32


def fused_attention_fits(
    dtype: jax.typing.DTypeLike, head_width: int, masked: bool, compute_capability: float | None
) -> bool:
    """Whether cuDNN's fused attention can train heads of this kind on a GPU of this capability, None for no GPU.

    It takes two-byte floats and head widths that are multiples of 8 up to 128 (256 on Hopper), from Ampere on; of
    masked sequences it takes only even lengths, so none is given to it. Source: jax's cuDNN attention, 0.10.
    """
    if compute_capability is None or compute_capability < 8.0 or masked:
        return False
    widest = 256 if compute_capability >= 9.0 else 128
    return dtype in (jnp.bfloat16, jnp.float16) and head_width % 8 == 0 and head_width <= widest


def _compute_capability() -> float | None:
    """The capability of this process's GPUs, None where its default backend is another."""
    if jax.default_backend() != "gpu":
        return None
    capability = getattr(jax.local_devices()[0], "compute_capability", None)
    return float(capability) if capability else None


def _by_heads(q_BTNK: jax.Array, k_BLNK: jax.Array, v_BLNK: jax.Array) -> jax.Array:
    """Attention with every head of every image as one matrix, forward and backward.

    XLA's CPU backend forms the gradient of `dot_product_attention` by products whose operands it first brings into
    other layouts: for 8 x 256 tokens and 6 heads of 64 that takes 50 ms on a core, and this 25.
    """
    heads = (array.transpose(0, 2, 1, 3) for array in (q_BTNK, k_BLNK, v_BLNK))
    return _heads_attention(*heads).transpose(0, 2, 1, 3)


@jax.custom_vjp
def _heads_attention(q_BNTK: jax.Array, k_BNLK: jax.Array, v_BNLK: jax.Array) -> jax.Array:
    return _forward(q_BNTK, k_BNLK, v_BNLK)[0]


def _forward(q_BNTK: jax.Array, k_BNLK: jax.Array, v_BNLK: jax.Array) -> tuple[jax.Array, Any]:
    weights_BNTL = jax.nn.softmax(q_BNTK * q_BNTK.shape[-1] ** -0.5 @ k_BNLK.mT, axis=-1)
    return weights_BNTL @ v_BNLK, (q_BNTK, k_BNLK, v_BNLK, weights_BNTL)


def _backward(saved: Any, grad_BNTK: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The gradients of queries, keys and values, from the kept weights: softmax's is w (g - sum of g w)."""
    q_BNTK, k_BNLK, v_BNLK, weights_BNTL = saved
    towards_BNTL = grad_BNTK @ v_BNLK.mT
    mean_BNT1 = (towards_BNTL * weights_BNTL).sum(axis=-1, keepdims=True)
    scores_BNTL = weights_BNTL * (towards_BNTL - mean_BNT1) * q_BNTK.shape[-1] ** -0.5
    return scores_BNTL @ k_BNLK, scores_BNTL.mT @ q_BNTK, weights_BNTL.mT @ grad_BNTK


_heads_attention.defvjp(_forward, _backward)
