"""The pointwise network of every block: two linear layers with GELU between them, and a gradient for CPU cores."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from dit_grid.model.config import DiTConfig
from dit_grid.model.linear import Linear

INNER = math.sqrt(2 / math.pi)
CUBIC = 0.044715
"""Of GELU's tanh form (Hendrycks & Gimpel 2016, arXiv 1606.08415, section 2)."""


class FeedForward(nnx.Module):
    """The pointwise two-layer network with the tanh form of GELU; `on_cores` takes the gradients for CPU cores."""

    def __init__(
        self, config: DiTConfig, *, dtype: jax.typing.DTypeLike, rngs: nnx.Rngs, on_cores: bool = False
    ) -> None:
        hidden = config.mlp_ratio * config.width
        self.on_cores = on_cores
        self.fc1 = Linear(config.width, hidden, dtype=dtype, rngs=rngs)
        self.fc2 = Linear(hidden, config.width, dtype=dtype, rngs=rngs)

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        hidden = self.fc1(x_BTD)
        if self.on_cores:
            return self.fc2.narrowing(_gelu(hidden))
        return self.fc2(nnx.gelu(hidden, approximate=True))


@jax.custom_vjp
def _gelu(x: jax.Array) -> jax.Array:
    """GELU's tanh form, whose gradient takes the tanh again.

    That costs a core less than to write it in one pass over all hidden units and to read it in two others.
    """
    return 0.5 * x * (1 + _tanh(x))


def _gelu_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _gelu(x), x


def _gelu_backward(x: jax.Array, grad: jax.Array) -> tuple[jax.Array]:
    x = jax.lax.optimization_barrier(x)  # or XLA finds that it has this tanh already, and keeps it after all
    tanh, slope = _tanh(x), INNER * (1 + 3 * CUBIC * x * x)
    return (grad * 0.5 * (1 + tanh + x * (1 - tanh * tanh) * slope),)


def _tanh(x: jax.Array) -> jax.Array:
    return jnp.tanh(INNER * (x + CUBIC * x * x * x))


_gelu.defvjp(_gelu_forward, _gelu_backward)
