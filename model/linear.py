"""The linear layer of all networks, and a product whose weights' gradient is formed as CPU cores do it fastest.

Dimension key: R rows, every leading axis of an array as one; I inputs, O outputs.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn.initializers import Initializer

from dit_grid.model.tensor_axis import TensorAxis

XAVIER, ZEROS = nnx.initializers.xavier_uniform(), nnx.initializers.zeros


class Linear(nnx.Module):
    """A linear layer of the last axis, float32 parameters and results in `dtype`: Xavier uniform weights, zero bias."""

    def __init__(
        self, inputs: int, outputs: int, *, dtype: jax.typing.DTypeLike, rngs: nnx.Rngs, init: Initializer = XAVIER
    ) -> None:
        self.dtype = jnp.dtype(dtype)
        self.kernel = nnx.Param(init(rngs.params(), (inputs, outputs), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((outputs,)))

    def __call__(self, x: jax.Array) -> jax.Array:
        return _applied(x, self.kernel[...], self.bias[...], self.dtype)

    def narrowing(self, x: jax.Array) -> jax.Array:
        """The same outputs; the weights' gradient as `narrowing_product` forms it, for fewer outputs than inputs."""
        return _applied(x, self.kernel[...], self.bias[...], self.dtype, narrowing_product)

    def last(self, x: jax.Array, outputs: int) -> jax.Array:
        """The last so many outputs alone."""
        return _applied(x, self.kernel[:, -outputs:], self.bias[-outputs:], self.dtype)

    def by_heads(self, x: jax.Array, parts: int, heads: int, over: TensorAxis | None) -> jax.Array:
        """Outputs (..., parts, heads, K), with `over` each device's share of the heads on it."""
        if over is None:
            return self(x).reshape(*x.shape[:-1], parts, heads, -1)
        kernel, bias = (over.by_heads(one[...], parts, heads).astype(self.dtype) for one in (self.kernel, self.bias))
        return jnp.tensordot(x.astype(self.dtype), kernel, axes=1) + bias


def _applied(x: jax.Array, kernel_IO: jax.Array, bias_O: jax.Array, dtype: Any, product: Any = jnp.matmul) -> jax.Array:
    # All leading axes as one: with two, the CPU backend transposes whole activations to form the weights' gradient,
    # which doubled its time (7.3 to 3.7 ms for 2048 tokens, 80 to 320 wide). Before the bias they are apart again, for
    # loops that read some arrays by row and others by image and token are slower (updates by up to 4 %).
    rows_RI = x.reshape(-1, x.shape[-1]).astype(dtype)
    return product(rows_RI, kernel_IO.astype(dtype)).reshape(*x.shape[:-1], -1) + bias_O.astype(dtype)


@jax.custom_vjp
def narrowing_product(rows_RI: jax.Array, kernel_IO: jax.Array) -> jax.Array:
    """The product (R, O), with the weights' gradient formed as (O, I) and then transposed where there are many rows.

    With I above O that shape is the CPU backend's faster one, but it is written twice. Billion multiply-accumulates a
    second on one core of an Intel Xeon with AVX-512, as it is and transposed: of 2048 rows, 320 to 80 wide, 38 and 77;
    512 rows, 1536 to 384 wide, 67 and 70; 128 rows of those 70 and 63; 512 rows, 3072 to 768 wide, 75 and 67.
    """
    return rows_RI @ kernel_IO


def _product_forward(rows_RI: jax.Array, kernel_IO: jax.Array) -> tuple[jax.Array, Any]:
    return rows_RI @ kernel_IO, (rows_RI, kernel_IO)


def _product_backward(saved: Any, grad_RO: jax.Array) -> tuple[jax.Array, jax.Array]:
    rows_RI, kernel_IO = saved
    if rows_RI.shape[0] < 2 * kernel_IO.shape[1]:
        return grad_RO @ kernel_IO.T, rows_RI.T @ grad_RO
    # Without the barrier XLA takes the transposition into the product and is back at the slower shape.
    weights_OI = jax.lax.optimization_barrier(grad_RO.T @ rows_RI)
    return grad_RO @ kernel_IO.T, weights_OI.T


narrowing_product.defvjp(_product_forward, _product_backward)
