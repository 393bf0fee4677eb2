"""Inception-v3's FID variant in JAX: 8-bit images to the features of FID and sFID and the logits of its score.

Batch norm is folded into the convolutions when weights are read (`inception_weights`); nothing here can be trained.
"""

from functools import cache, partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from PIL import Image

from dit_grid.experiments.networks.features import CLEAN_FID, PYTORCH_FID
from dit_grid.experiments.networks.inception_graph import (
    CLASSES,
    MIXED,
    POOL_FEATURES,
    SPATIAL_CHANNELS,
    SPATIAL_STAGE,
    STEM,
    Chain,
    Convolution,
    Fork,
    MaxPool,
    convolutions,
)
from dit_grid.experiments.networks.local_devices import as_shapes, platform, rows_sharding, whole_sharding
from dit_grid.experiments.networks.winograd import conv_3x3
from dit_grid.model.abstract import network_shapes, own_variables

INPUT_SIZE = 299


class Features(NamedTuple):
    """float32: `pool` (N, 2048) for FID, `spatial` (N, 2023) for sFID, `logits` (N, 1008) without bias, as in ADM."""

    pool: jax.Array
    spatial: jax.Array
    logits: jax.Array


class Inception(nnx.Module):
    """The network, float32; weights start random, `inception_weights.load_inception` reads the published ones."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.convolutions = nnx.Dict({c.name: _convolution(c, channels, rngs) for c, channels in convolutions()})
        self.classifier = nnx.Linear(POOL_FEATURES, CLASSES, use_bias=False, precision="highest", rngs=rngs)

    def __call__(self, images: jax.Array, half_pixel: bool = False) -> Features:
        """Features of images (N, H, W, 3) of any size, 0 to 255, resized as TensorFlow 1 or, `half_pixel`, as
        pytorch-fid does, which also centres its numbers otherwise."""
        if half_pixel:
            x_NHWC = resize_half_pixel(images, INPUT_SIZE) / 127.5 - 1
        else:
            x_NHWC = (resize_tf1(images, INPUT_SIZE) - 128) / 128
        if platform() == "cpu":
            # Its large maps then stay in the cache: twice as fast as all images at once.
            x_NHWC = jax.lax.map(lambda x_HWC: self._run(STEM, x_HWC[None])[0], x_NHWC)
        else:
            x_NHWC = self._run(STEM, x_NHWC)
        for name, chain in MIXED.items():
            x_NHWC = self._run(chain, x_NHWC)
            if name == SPATIAL_STAGE:
                spatial = x_NHWC[..., :SPATIAL_CHANNELS]  # row, column, channel: ADM's order
        pool = jnp.mean(x_NHWC, axis=(1, 2))
        return Features(pool, spatial.reshape(len(images), -1), self.classifier(pool))

    def _run(self, chain: Chain, x_NHWC: jax.Array) -> jax.Array:
        for step in chain:
            match step:
                case Convolution():
                    x_NHWC = _apply(self.convolutions[step.name], x_NHWC)
                    # The average follows the 1×1 convolution, with which it commutes, for it then sees fewer channels.
                    x_NHWC = nnx.relu(_average(x_NHWC) if step.averaged else x_NHWC)
                case MaxPool():
                    x_NHWC = _largest(x_NHWC, step.stride)
                case Fork():
                    x_NHWC = jnp.concatenate([self._run(branch, x_NHWC) for branch in step.branches], axis=-1)
        return x_NHWC


def abstract_inception() -> tuple[nnx.GraphDef[Inception], nnx.State]:
    """Return the network's definition, for `nnx.merge`, and its parameters as shapes, traced once a process."""
    definition, shapes = _traced()
    return definition, own_variables(shapes)


@cache
def _traced() -> tuple[nnx.GraphDef[Inception], nnx.State]:
    return nnx.split(network_shapes(Inception))


@nnx.jit
def features(network: Inception, images: jax.Array) -> Features:
    """`network(images)`, compiled once for each shape of images."""
    return network(images)


@nnx.jit
def features_half_pixel(network: Inception, images: jax.Array) -> Features:
    """`network(images, half_pixel=True)`, compiled once for each shape of images."""
    return network(images, half_pixel=True)


def lower_features(resize: str, side: int, batch: int) -> tuple[Any, tuple[Any, jax.Array]]:
    """Return the features of `batch` images of a side, ready to compile for what `local_devices` speaks of, and the
    arrays they take, as shapes: the network's, and the images. `resize` is one of `features.PREPARATIONS`."""
    graph, state = abstract_inception()
    state = as_shapes(state, whole_sharding())
    by_pillow = resize == CLEAN_FID
    shape = (batch, INPUT_SIZE, INPUT_SIZE, 3) if by_pillow else (batch, side, side, 3)
    unplaced = jax.ShapeDtypeStruct(shape, jnp.float32 if by_pillow else jnp.uint8)
    images = as_shapes(unplaced, rows_sharding(batch))
    program = features_half_pixel if resize == PYTORCH_FID else features
    return program.lower(nnx.merge(graph, state), images).lowered, (state, images)


@partial(jax.jit, static_argnames="size")
def resize_tf1(images: jax.Array, size: int) -> jax.Array:
    """Images (N, H, W, C) resized to size × size, float32, as TensorFlow 1 does: bilinear, corners aligned, aliasing.

    `jax.image.resize` centres pixels instead, which moves FID by 1 %; here output i reads from i · H / size, and the
    next pixel, or the last one again at the edge.
    """
    x_NHWC = images.astype(jnp.float32)
    if x_NHWC.shape[1:3] == (size, size):
        return x_NHWC
    for axis in (2, 1):
        x_NHWC = _blend(x_NHWC, np.arange(size, dtype=np.float32) * np.float32(x_NHWC.shape[axis] / size), axis)
    return x_NHWC


@partial(jax.jit, static_argnames="size")
def resize_half_pixel(images: jax.Array, size: int) -> jax.Array:
    """Images (N, H, W, C) resized to size × size, float32, as pytorch-fid does: bilinear, pixels centred, aliasing."""
    x_NHWC = images.astype(jnp.float32)
    if x_NHWC.shape[1:3] == (size, size):
        return x_NHWC
    for axis in (2, 1):
        centre = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(x_NHWC.shape[axis] / size)
        x_NHWC = _blend(x_NHWC, np.maximum(centre - np.float32(0.5), 0), axis)
    return x_NHWC


def resize_clean(images: np.ndarray, size: int) -> np.ndarray:
    """Images (N, H, W, C), 0 to 255, resized to size × size, float32, as clean-fid does: Pillow's bicubic with
    antialiasing on each channel, not rounded, cut to 0 … 255."""
    if images.shape[1:3] == (size, size):
        return images.astype(np.float32)
    shape = (size, size)
    planes = images.transpose(0, 3, 1, 2).reshape(-1, *images.shape[1:3]).astype(np.float32)
    resized = [np.asarray(Image.fromarray(plane).resize(shape, Image.Resampling.BICUBIC)) for plane in planes]
    return np.clip(np.stack(resized).reshape(len(images), -1, *shape).transpose(0, 2, 3, 1), 0, 255)


def _blend(x: jax.Array, position: np.ndarray, axis: int) -> jax.Array:
    length, size = x.shape[axis], len(position)
    low = np.floor(position).astype(np.int32)
    shape = [1] * x.ndim
    shape[axis] = size
    fraction = (position - low).reshape(shape)
    first = jnp.take(x, low, axis=axis)
    return first + (jnp.take(x, np.minimum(low + 1, length - 1), axis=axis) - first) * fraction


def _apply(layer: nnx.Conv, x_NHWC: jax.Array) -> jax.Array:
    """The convolution; one of 1×1 as a product of matrices, which XLA does half as fast again on CPUs."""
    assert layer.bias is not None, "every convolution of the graph is made with a bias"
    if layer.kernel_size == (3, 3) and layer.strides == (1, 1):
        return conv_3x3(x_NHWC, layer.kernel[...], padding=int(layer.padding == "SAME")) + layer.bias[...]
    if layer.kernel_size != (1, 1):
        return layer(x_NHWC)
    product = jnp.einsum("nhwc,cd->nhwd", x_NHWC, layer.kernel[...][0, 0], precision="highest")
    return product + layer.bias[...]


def _largest(x_NHWC: jax.Array, stride: int) -> jax.Array:
    """The largest of each 3×3 patch; only stride 1 pads."""
    if platform() != "cpu":
        padding = "SAME" if stride == 1 else "VALID"
        return nnx.max_pool(x_NHWC, (3, 3), strides=(stride, stride), padding=padding)
    if stride == 1:
        x_NHWC = jnp.pad(x_NHWC, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    for axis in (1, 2):
        x_NHWC = reduce(jnp.maximum, _taps(x_NHWC, axis, stride))
    return x_NHWC


def _average(x_NHWC: jax.Array) -> jax.Array:
    """The mean of each 3×3 patch, of what lies inside the image."""
    if platform() != "cpu":
        return nnx.avg_pool(x_NHWC, (3, 3), strides=(1, 1), padding="SAME", count_include_pad=False)
    counts = [np.minimum(np.arange(n) + 2, n) - np.maximum(np.arange(n) - 1, 0) for n in x_NHWC.shape[1:3]]
    x_NHWC = jnp.pad(x_NHWC, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for axis in (1, 2):
        x_NHWC = reduce(jnp.add, _taps(x_NHWC, axis, stride=1))
    return x_NHWC * jnp.asarray(1 / np.outer(*counts)[..., None], jnp.float32)


def _taps(x: jax.Array, axis: int, stride: int) -> list[jax.Array]:
    """What each of three neighbours along an axis sees; on CPUs five times as fast as XLA's windows."""
    last = x.shape[axis] - 2
    return [jax.lax.slice_in_dim(x, i, last + i, stride, axis) for i in range(3)]


def _convolution(step: Convolution, channels: int, rngs: nnx.Rngs) -> nnx.Conv:
    strides, padding = (step.stride, step.stride), step.padding
    return nnx.Conv(
        channels, step.features, step.kernel, strides=strides, padding=padding, precision="highest", rngs=rngs
    )
