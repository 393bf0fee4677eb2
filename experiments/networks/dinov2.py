"""DINOv2's vision transformer in JAX: 8-bit images to the class token's features. Reading weights is `dinov2_weights`.

Dimension key: N images, T tokens (class, then patches), D width, H heads, K head width. Source: Oquab et al. 2023.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

INPUT_SIZE = 224
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, per channel, which the published networks were trained with."""

NORM_EPSILON = 1e-6
HEAD_WIDTH = 64
CUBIC = -0.75
"""PyTorch's coefficient for cubic interpolation without antialiasing."""

POSITION_OFFSET = 0.1
"""Added to the side of the target grid when the authors' code resizes positions; the transformers package adds none."""


@dataclass(frozen=True)
class DINOv2Config:
    """Sizes of the network; the defaults are those of ViT-L/14, which FD-DINOv2 takes (Stein et al. 2023)."""

    width: int = 1024
    depth: int = 24
    patch: int = 14
    grid: int = 37
    mlp_ratio: int = 4

    @property
    def heads(self) -> int:
        return self.width // HEAD_WIDTH


class DINOv2(nnx.Module):
    """The network, float32; weights start at random, `dinov2_weights.load_dinov2` reads the published ones."""

    def __init__(self, config: DINOv2Config, rngs: nnx.Rngs, position_offset: float = POSITION_OFFSET) -> None:
        width = config.width
        self.config, self.position_offset = config, position_offset
        side, strides = (config.patch, config.patch), (config.patch, config.patch)
        self.patch_embed = nnx.Conv(3, width, side, strides, padding="VALID", precision="highest", rngs=rngs)
        self.cls_token = nnx.Param(jnp.zeros((1, 1, width)))
        self.pos_embed = nnx.Param(jnp.zeros((1, 1 + config.grid**2, width)))
        self.blocks = nnx.List(Block(config, rngs) for _ in range(config.depth))
        self.norm = nnx.LayerNorm(width, epsilon=NORM_EPSILON, use_fast_variance=False, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Features (N, D) of uint8 images (N, H, W, 3) of any size."""
        return self.of_prepared(prepared(images))

    def of_prepared(self, x_NHWC: jax.Array) -> jax.Array:
        """Features of images that are normalised already, whose sides are multiples of the patch."""
        x_NHWC = self.patch_embed(x_NHWC)
        N, rows, columns, D = x_NHWC.shape
        x_NTD = jnp.concatenate([jnp.broadcast_to(self.cls_token[...], (N, 1, D)), x_NHWC.reshape(N, -1, D)], axis=1)
        x_NTD = x_NTD + self._positions(rows, columns)
        for block in self.blocks:
            x_NTD = block(x_NTD)
        return self.norm(x_NTD)[:, 0]

    def _positions(self, rows: int, columns: int) -> jax.Array:
        """Embeddings of positions (1, 1 + rows columns, D), cubically resized from the grid they were trained on."""
        table, grid = self.pos_embed[...], self.config.grid
        if (rows, columns) == (grid, grid):
            return table
        grid_DD = table[0, 1:].reshape(grid, grid, -1)
        down, across = (resize_matrix(grid, size, self.position_offset) for size in (rows, columns))
        resized = jnp.einsum("rg,cf,gfd->rcd", down, across, grid_DD, precision="highest")
        return jnp.concatenate([table[:, :1], resized.reshape(1, rows * columns, -1)], axis=1)


class Block(nnx.Module):
    """Attention, then a perceptron, each scaled per channel and added."""

    def __init__(self, config: DINOv2Config, rngs: nnx.Rngs) -> None:
        width, inner = config.width, config.mlp_ratio * config.width
        self.heads = config.heads
        self.norm1, self.norm2 = (
            nnx.LayerNorm(width, epsilon=NORM_EPSILON, use_fast_variance=False, rngs=rngs) for _ in range(2)
        )
        self.qkv, self.proj = _linear(width, 3 * width, rngs), _linear(width, width, rngs)
        self.fc1, self.fc2 = _linear(width, inner, rngs), _linear(inner, width, rngs)
        self.ls1, self.ls2 = nnx.Param(jnp.ones(width)), nnx.Param(jnp.ones(width))

    def __call__(self, x_NTD: jax.Array) -> jax.Array:
        x_NTD = x_NTD + self.ls1[...] * self._attention(self.norm1(x_NTD))
        inner = jax.nn.gelu(self.fc1(self.norm2(x_NTD)), approximate=False)
        return x_NTD + self.ls2[...] * self.fc2(inner)

    def _attention(self, x_NTD: jax.Array) -> jax.Array:
        N, T, D = x_NTD.shape
        q_NTHK, k_NTHK, v_NTHK = jnp.moveaxis(self.qkv(x_NTD).reshape(N, T, 3, self.heads, -1), 2, 0)
        scores_NHTS = jnp.einsum("nthk,nshk->nhts", q_NTHK, k_NTHK, precision="highest")
        weights_NHTS = jax.nn.softmax(scores_NHTS / q_NTHK.shape[-1] ** 0.5, axis=-1)
        values_NTHK = jnp.einsum("nhts,nshk->nthk", weights_NHTS, v_NTHK, precision="highest")
        return self.proj(values_NTHK.reshape(N, T, D))


@nnx.jit
def features(network: DINOv2, images: jax.Array) -> jax.Array:
    """`network(images)`, compiled once for each shape of images."""
    return network(images)


def prepared(images: jax.Array) -> jax.Array:
    """Images resized to 224 bicubically, with antialiasing, and normalised, as EDM2's evaluation does."""
    x_NHWC = images.astype(jnp.float32)
    shape = (x_NHWC.shape[0], INPUT_SIZE, INPUT_SIZE, 3)
    if x_NHWC.shape != shape:
        x_NHWC = jax.image.resize(x_NHWC, shape, "cubic", antialias=True, precision=jax.lax.Precision.HIGHEST)
    return (x_NHWC / 255 - jnp.array(MEAN)) / jnp.array(SPREAD)


def resize_matrix(before: int, after: int, offset: float = 0.0) -> NDArray[np.float32]:
    """Weights (after, before) of PyTorch's cubic interpolation, half-pixel centres, edges repeated.

    With `offset` the scale is (after + offset) / before, as when PyTorch is given a scale factor and not a size.
    """
    places = (np.arange(after) + 0.5) * before / (after + offset) - 0.5
    first = np.floor(places).astype(int)
    weights = np.zeros((after, before))
    for tap in range(-1, 3):
        columns = np.clip(first + tap, 0, before - 1)
        np.add.at(weights, (np.arange(after), columns), _cubic(np.abs(places - first - tap)))
    return weights.astype(np.float32)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel (1981) at distances of 0 to 2."""
    a, d = CUBIC, distance
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, far)


def _linear(before: int, after: int, rngs: nnx.Rngs) -> nnx.Linear:
    return nnx.Linear(before, after, precision="highest", rngs=rngs)
