"""Stable Diffusion's AutoencoderKL: images to latents and back. Reading weights is `autoencoder_weights`.

Dimension key: N images, H and W pixels or latents, C channels, T = H·W tokens. The scale that diffusion works at,
0.18215 unless a file says otherwise, is outside the network (`VAEConfig.scaling`). Source: Rombach et al. 2022;
definitions of the released checkpoints.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dit_grid.experiments.data.latent_shards import LATENT_SCALE
from dit_grid.experiments.networks.local_devices import (
    as_shapes,
    copied,
    platform,
    rows_sharding,
    spread,
    whole_sharding,
)
from dit_grid.experiments.networks.winograd import conv_3x3
from dit_grid.model.abstract import network_shapes

NORM_EPSILON = 1e-6
LOG_VARIANCE_RANGE = (-30.0, 20.0)


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the network, and what diffusion multiplies its latents by; defaults as sd-vae-ft-ema and -mse."""

    widths: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2
    groups: int = 32
    channels: int = 3
    latent_channels: int = 4
    scaling: float = LATENT_SCALE

    @property
    def downscale(self) -> int:
        """Pixels a side of one latent."""
        return 2 ** (len(self.widths) - 1)


class LatentGaussian(NamedTuple):
    """Mean and log variance of an image's latents, (N, H / 8, W / 8, 4) for the default network, not scaled."""

    mean: jax.Array
    log_variance: jax.Array

    def sample(self, key: jax.Array) -> jax.Array:
        """Latents drawn from the Gaussian."""
        noise = jax.random.normal(key, self.mean.shape).astype(self.mean.dtype)  # drawn in bfloat16 it is off centre
        return self.mean + jnp.exp(self.log_variance / 2) * noise


class AutoencoderKL(nnx.Module):
    """The whole network. Module names are those of diffusers, so that a parameter's path is its name in a file."""

    def __init__(self, config: VAEConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.encoder = Encoder(config, rngs)
        self.quant_conv = _conv(2 * config.latent_channels, 2 * config.latent_channels, 1, rngs)
        self.post_quant_conv = _conv(config.latent_channels, config.latent_channels, 1, rngs)
        self.decoder = Decoder(config, rngs)

    def encode(self, images_NHWC: jax.Array) -> LatentGaussian:
        """Latents of images in [-1, 1] whose sides are multiples of 8. Raises ValueError for other sides."""
        side = self.config.downscale
        if images_NHWC.shape[1] % side or images_NHWC.shape[2] % side:
            raise ValueError(f"images {images_NHWC.shape[1:3]} to encode: sides must be multiples of {side}; crop them")
        mean, log_variance = jnp.split(self.quant_conv(self.encoder(images_NHWC)), 2, axis=-1)
        return LatentGaussian(mean, jnp.clip(log_variance, *LOG_VARIANCE_RANGE))

    def decode(self, latents_NHWC: jax.Array) -> jax.Array:
        """Images (N, 8 H, 8 W, 3), about [-1, 1], of latents that were divided by the configuration's `scaling`."""
        return self.decoder(self.post_quant_conv(latents_NHWC))


def compiled_encode(network: AutoencoderKL) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """`network.encode` from and to NumPy arrays, compiled once for each shape; what `data.encode` asks for.

    The images of a batch are spread over this process's devices where they divide.
    """
    graph, state = nnx.split(network)
    state = copied(state)
    encode = jax.jit(lambda state, images_NHWC: nnx.merge(graph, state).encode(images_NHWC))

    def run(images_NHWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = encode(state, spread(np.asarray(images_NHWC)))
        return np.asarray(found.mean), np.asarray(found.log_variance)

    return run


def compiled_decode(network: AutoencoderKL) -> Callable[[np.ndarray | jax.Array], np.ndarray]:
    """From scaled latents (N, H, W, C) to images (N, 8 H, 8 W, 3), NumPy arrays, compiled once for each shape.

    The latents of a batch are spread over this process's devices where they divide.
    """
    decode, state = _decode_program(network)
    state = copied(state)
    return lambda latents_NHWC: np.asarray(decode(state, spread(np.asarray(latents_NHWC))))


def _decode_program(network: AutoencoderKL) -> tuple[Any, nnx.State]:
    """Return the compiled function of (state, scaled latents), and the network's state."""
    graph, state = nnx.split(network)
    scaling = np.float32(network.config.scaling)
    return jax.jit(lambda state, latents_NHWC: nnx.merge(graph, state).decode(latents_NHWC / scaling)), state


def lower_decode(config: VAEConfig, side: int, batch: int) -> tuple[jax.stages.Lowered, tuple[Any, jax.Array]]:
    """Return `compiled_decode` of `batch` latents of a side, ready to compile for what `local_devices` speaks of, and
    the arrays that it takes, as shapes: the network's, and the latents. Nothing runs."""
    decode, state = _decode_program(network_shapes(lambda rngs: AutoencoderKL(config, rngs)))
    state = as_shapes(state, whole_sharding())
    shape = jax.ShapeDtypeStruct((batch, side, side, config.latent_channels), jnp.float32)
    latents = as_shapes(shape, rows_sharding(batch))
    return decode.lower(state, latents), (state, latents)


class Encoder(nnx.Module):
    """Images (N, H, W, C) to moments (N, h, w, 2 latent channels); h = H / 2 to the power of (widths - 1)."""

    def __init__(self, config: VAEConfig, rngs: nnx.Rngs) -> None:
        widths = config.widths
        self.conv_in = _conv(config.channels, widths[0], 3, rngs)
        entering = (widths[0], *widths[:-1])
        self.down_blocks = nnx.List(
            DownBlock(before, after, config, last=i == len(widths) - 1, rngs=rngs)
            for i, (before, after) in enumerate(zip(entering, widths, strict=True))
        )
        self.mid_block = MidBlock(widths[-1], config.groups, rngs)
        self.conv_norm_out = _norm(widths[-1], config.groups, rngs)
        self.conv_out = _conv(widths[-1], 2 * config.latent_channels, 3, rngs)

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        x_NHWC = self.conv_in(x_NHWC)
        for block in self.down_blocks:
            x_NHWC = block(x_NHWC)
        return self.conv_out(nnx.silu(self.conv_norm_out(self.mid_block(x_NHWC))))


class Decoder(nnx.Module):
    """Latents (N, h, w, latent channels) to images (N, H, W, C), the encoder's mirror with one more block a level."""

    def __init__(self, config: VAEConfig, rngs: nnx.Rngs) -> None:
        widths = config.widths[::-1]
        self.conv_in = _conv(config.latent_channels, widths[0], 3, rngs)
        self.mid_block = MidBlock(widths[0], config.groups, rngs)
        entering = (widths[0], *widths[:-1])
        self.up_blocks = nnx.List(
            UpBlock(before, after, config, last=i == len(widths) - 1, rngs=rngs)
            for i, (before, after) in enumerate(zip(entering, widths, strict=True))
        )
        self.conv_norm_out = _norm(widths[-1], config.groups, rngs)
        self.conv_out = _conv(widths[-1], config.channels, 3, rngs)

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        x_NHWC = self.mid_block(self.conv_in(x_NHWC))
        for block in self.up_blocks:
            x_NHWC = block(x_NHWC)
        return self.conv_out(nnx.silu(self.conv_norm_out(x_NHWC)))


class DownBlock(nnx.Module):
    """Residual blocks, then half the resolution unless `last`."""

    def __init__(self, before: int, after: int, config: VAEConfig, *, last: bool, rngs: nnx.Rngs) -> None:
        self.resnets = _resnets(before, after, config.layers, config.groups, rngs)
        self.downsamplers = nnx.List([] if last else [Downsample(after, rngs)])

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        for layer in (*self.resnets, *self.downsamplers):
            x_NHWC = layer(x_NHWC)
        return x_NHWC


class UpBlock(nnx.Module):
    """One more residual block than on the way down, then twice the resolution unless `last`."""

    def __init__(self, before: int, after: int, config: VAEConfig, *, last: bool, rngs: nnx.Rngs) -> None:
        self.resnets = _resnets(before, after, config.layers + 1, config.groups, rngs)
        self.upsamplers = nnx.List([] if last else [Upsample(after, rngs)])

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        for layer in (*self.resnets, *self.upsamplers):
            x_NHWC = layer(x_NHWC)
        return x_NHWC


class MidBlock(nnx.Module):
    """Residual block, attention, residual block, at the lowest resolution."""

    def __init__(self, width: int, groups: int, rngs: nnx.Rngs) -> None:
        self.resnets = _resnets(width, width, 2, groups, rngs)
        self.attentions = nnx.List([Attention(width, groups, rngs)])

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        return self.resnets[1](self.attentions[0](self.resnets[0](x_NHWC)))


class ResnetBlock(nnx.Module):
    """Twice normalise, SiLU, 3×3 convolution; added to the input, which a 1×1 convolution brings to the width."""

    def __init__(self, before: int, after: int, groups: int, rngs: nnx.Rngs) -> None:
        self.norm1 = _norm(before, groups, rngs)
        self.conv1 = _conv(before, after, 3, rngs)
        self.norm2 = _norm(after, groups, rngs)
        self.conv2 = _conv(after, after, 3, rngs)
        self.conv_shortcut = None if before == after else _conv(before, after, 1, rngs)

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        y_NHWC = self.conv1(nnx.silu(self.norm1(x_NHWC)))
        y_NHWC = self.conv2(nnx.silu(self.norm2(y_NHWC)))
        return y_NHWC + (x_NHWC if self.conv_shortcut is None else self.conv_shortcut(x_NHWC))


class Attention(nnx.Module):
    """Self-attention of all positions, one head of the full width."""

    def __init__(self, width: int, groups: int, rngs: nnx.Rngs) -> None:
        self.group_norm = _norm(width, groups, rngs)
        self.to_q, self.to_k, self.to_v = (_linear(width, rngs) for _ in range(3))
        self.to_out = nnx.List([_linear(width, rngs)])

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        N, H, W, C = x_NHWC.shape
        x_NTC = self.group_norm(x_NHWC).reshape(N, H * W, C)
        scores_NTS = jnp.einsum("ntc,nsc->nts", self.to_q(x_NTC), self.to_k(x_NTC), precision=self.to_q.precision)
        weights_NTS = jax.nn.softmax(scores_NTS / C**0.5, axis=-1)
        values_NTC = jnp.einsum("nts,nsc->ntc", weights_NTS, self.to_v(x_NTC), precision=self.to_v.precision)
        return x_NHWC + self.to_out[0](values_NTC).reshape(N, H, W, C)


class Conv3x3(nnx.Conv):
    """A 3×3 convolution at stride 1 with its bias, with fewer products on CPUs."""

    def __call__(self, inputs: jax.Array, *_: Any) -> jax.Array:
        assert self.bias is not None, "_conv makes it with a bias"
        return conv_3x3(inputs, self.kernel[...], precision=self.precision) + self.bias[...]


class Downsample(nnx.Module):
    """A strided convolution that pads one row and column at the bottom and right alone."""

    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(width, width, (3, 3), strides=(2, 2), padding="VALID", precision=precision(), rngs=rngs)

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        return self.conv(jnp.pad(x_NHWC, ((0, 0), (0, 1), (0, 1), (0, 0))))


class Upsample(nnx.Module):
    """Every pixel four times, then a 3×3 convolution."""

    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        self.conv = _conv(width, width, 3, rngs)

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        """The same as four 2×2 convolutions of the small image, one for each corner of a pixel: 4/9 of the work.

        They are one convolution with four times the outputs, of which each corner takes its own window: XLA for TPUs
        takes a quarter less time to compile the decoder than with four (110 to 83 s of a processor for v3).
        """
        assert self.conv.bias is not None, "_conv makes it with a bias"
        N, H, W, C = x_NHWC.shape
        corners = [(row, column) for row in (0, 1) for column in (0, 1)]
        kernels = [_merged(_merged(self.conv.kernel[...], row, axis=0), column, axis=1) for row, column in corners]
        all_NHWC = jax.lax.conv_general_dilated(
            x_NHWC, jnp.concatenate(kernels, axis=-1), (1, 1), ((1, 1), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=self.conv.precision,
        )  # fmt: skip
        own = jnp.split(all_NHWC, len(corners), axis=-1)
        windows = [part[:, r : r + H, c : c + W] for part, (r, c) in zip(own, corners, strict=True)]
        x_NHWrcC = jnp.stack(windows, axis=3).reshape(N, H, W, 2, 2, C) + self.conv.bias[...]
        return x_NHWrcC.transpose(0, 1, 3, 2, 4, 5).reshape(N, 2 * H, 2 * W, C)


def _merged(kernel: jax.Array, side: int, axis: int) -> jax.Array:
    """A kernel's three taps along `axis` as two: those that fall on the same pixel of the small image are added."""
    first, middle, last = jnp.split(kernel, 3, axis)
    return jnp.concatenate([first, middle + last] if side == 0 else [first + middle, last], axis)


def precision() -> str:
    """Return how exactly the network multiplies on what it is made for: in float32, on TPUs by three bfloat16 passes.

    Three move pixels by 0.001 of a grey level and FID by far less than other samples do
    (`benchmarks/decoder_precision.py`); six take 1.8 times as long by the compiler's cycles. On GPUs the word would
    mean TensorFloat-32, of 10 bits.
    """
    return "high" if platform() == "tpu" else "highest"


def _resnets(before: int, after: int, count: int, groups: int, rngs: nnx.Rngs) -> nnx.List:
    return nnx.List(ResnetBlock(before if i == 0 else after, after, groups, rngs) for i in range(count))


def _conv(before: int, after: int, side: int, rngs: nnx.Rngs) -> nnx.Conv:
    kind = Conv3x3 if side == 3 else nnx.Conv
    return kind(before, after, (side, side), padding="SAME", precision=precision(), rngs=rngs)


def _linear(width: int, rngs: nnx.Rngs) -> nnx.Linear:
    return nnx.Linear(width, width, precision=precision(), rngs=rngs)


def _norm(width: int, groups: int, rngs: nnx.Rngs) -> nnx.GroupNorm:
    return nnx.GroupNorm(width, groups, epsilon=NORM_EPSILON, use_fast_variance=False, rngs=rngs)
