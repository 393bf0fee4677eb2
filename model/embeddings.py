"""How pixels, timesteps, labels and positions become vectors, and tokens become pixels again.

Every function takes channels-last arrays and has no trainable state but `TimestepEmbedding` and `LabelEmbedding`.
The attention blocks between the two ends are in `dit_grid.model.blocks`.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dit_grid.model.accounting import FREQUENCIES
from dit_grid.model.linear import Linear

MAX_PERIOD = 10_000
"""Longest wavelength of both sinusoidal tables, in units of 2 pi (Vaswani et al. 2017, section 3.5)."""

INIT_STD = 0.02
"""Standard deviation of the label table's and the timestep layers' initial weights (reference implementation)."""


@functools.cache
def position_table(width: int, grid: int) -> np.ndarray:
    """The fixed position table (grid * grid, width), float32, one row a token in row-major order.

    The first half of the channels encodes the column and the second half the row, each as sines then cosines, with
    frequencies MAX_PERIOD^(-4j / width); computed in float64 as the reference implementation does.
    """
    quarter = width // 4
    frequencies = MAX_PERIOD ** (-np.arange(quarter) / quarter)
    angles = np.arange(grid)[:, None] * frequencies
    axis = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    by_column, by_row = np.tile(axis, (grid, 1)), np.repeat(axis, grid, axis=0)
    return np.concatenate([by_column, by_row], axis=1).astype(np.float32)


def timestep_table(t_B: jax.Array, width: int = FREQUENCIES) -> jax.Array:
    """Sinusoids (B, width) of timesteps (B,), whole or fractional: cosines then sines, float32.

    Frequencies are MAX_PERIOD^(-j / half) with half = floor(width / 2); an odd width ends in a column of zeros.
    Frequencies are rounded where the reference implementation rounds them, which near t = 1000 is worth up to 6e-5.
    """
    half = width // 2
    exponents = np.float32(-math.log(MAX_PERIOD)) * np.arange(half, dtype=np.float32) / np.float32(half)
    frequencies = np.exp(exponents.astype(np.float64)).astype(np.float32)
    angles = t_B.astype(jnp.float32)[:, None] * frequencies[None, :]
    table = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)
    return jnp.pad(table, ((0, 0), (0, width % 2)))


def patchify(x_BHWC: jax.Array, patch: int) -> jax.Array:
    """Tokens (B, T, patch * patch * C) of images: patches row-major, and (row, column, channel) within each."""
    B, height, width, C = x_BHWC.shape
    rows, columns = height // patch, width // patch
    x = x_BHWC.reshape(B, rows, patch, columns, patch, C).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(B, rows * columns, patch * patch * C)


def unpatchify(x_BTF: jax.Array, patch: int) -> jax.Array:
    """Images (B, H, W, C) of the square grid of tokens that `patchify` makes of them."""
    B, tokens, features = x_BTF.shape
    grid, C = math.isqrt(tokens), features // patch**2
    x = x_BTF.reshape(B, grid, grid, patch, patch, C).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(B, grid * patch, grid * patch, C)


class TimestepEmbedding(nnx.Module):
    """Maps timesteps (B,) to vectors (B, D): sinusoids, then a two-layer network with SiLU."""

    def __init__(self, width: int, *, dtype: jax.typing.DTypeLike, rngs: nnx.Rngs) -> None:
        normal = nnx.initializers.normal(INIT_STD)
        self.fc1 = Linear(FREQUENCIES, width, dtype=dtype, rngs=rngs, init=normal)
        self.fc2 = Linear(width, width, dtype=dtype, rngs=rngs, init=normal)

    def __call__(self, t_B: jax.Array) -> jax.Array:
        return self.fc2(nnx.silu(self.fc1(timestep_table(t_B))))


class LabelEmbedding(nnx.Module):
    """A table with a row for each class and, last, one for the null class that stands for no label."""

    def __init__(self, classes: int, width: int, *, dtype: jax.typing.DTypeLike, rngs: nnx.Rngs) -> None:
        self.table = nnx.Param(INIT_STD * jax.random.normal(rngs.params(), (classes + 1, width)))
        self.dtype = dtype

    def __call__(self, y_B: jax.Array) -> jax.Array:
        # A label out of range becomes NaN, not its nearest neighbour's row, where tracing hides its value.
        rows = jnp.asarray(self.table[...]).at[y_B].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
        return rows.astype(self.dtype)
