"""What fewer passes of bfloat16 cost the VAE's decoder in pixels and in FID, emulated on this machine's cores.

    uv run python benchmarks/decoder_precision.py                          16 x 16 latents, 64 images, 10 minutes
    uv run python benchmarks/decoder_precision.py --side 8 --images 32     three minutes
    uv run python benchmarks/decoder_precision.py --decoder FILE --inception FILE     with trained weights

A TPU multiplies bfloat16: it splits a float32 number into parts of 8 significant bits and adds products of parts, one
(DEFAULT), three (HIGH) or six (HIGHEST). Every convolution and matrix product of the decoder is replaced by as many
products of rounded parts, each exact in float32, as TPUs have them. Without files the weights are random, of the
published shapes, and pixels are scaled to deviate by 64 grey levels; trained weights may amplify errors otherwise.

Prints of each: grey levels of difference to float32 (root mean square, largest; before rounding to 8 bits), the share
of 8-bit values that are another, the Fréchet distance between the two sets of images in Inception's features, and by
how much the distance to a reference set changes. Beside it stands how much that changes with other latents: noise.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dit_grid.experiments.data.image_arrays import to_uint8
from dit_grid.experiments.metrics.frechet import Reference, frechet_distance, reference_of
from dit_grid.experiments.networks.autoencoder import AutoencoderKL, VAEConfig
from dit_grid.experiments.networks.autoencoder_weights import load_vae
from dit_grid.experiments.networks.inception import Inception, features
from dit_grid.experiments.networks.inception_weights import load_inception
from dit_grid.experiments.networks.local_devices import compiled_for

PASSES = {
    "HIGHEST, six passes": ((0, 2), (2, 0), (1, 1), (0, 1), (1, 0), (0, 0)),
    "HIGH, three passes": ((0, 1), (1, 0), (0, 0)),
    "DEFAULT, one pass": ((0, 0),),
}
"""Which parts of the two sides are multiplied, the smallest products first."""

LEVELS = 127.5
"""Grey levels a unit of the decoder's output."""

DEVIATION = 64 / LEVELS

Decode = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Decode the same latents with each number of passes and print how the images differ from float32's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=16, help="latents a side; pixels are eight times as many")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--decoder", type=Path, help="weights of an AutoencoderKL; random without")
    parser.add_argument("--inception", type=Path, help="weights of the FID network; random without")
    asked = parser.parse_args()
    network = load_vae(asked.decoder) if asked.decoder else AutoencoderKL(VAEConfig(), nnx.Rngs(0))
    described = load_inception(asked.inception) if asked.inception else Inception(nnx.Rngs(1))
    draws = np.random.default_rng(0).standard_normal((3, asked.images, asked.side, asked.side, 4)).astype(np.float32)
    exact = decoder(network, asked.side)
    unit = 1.0 if asked.decoder else DEVIATION / float(exact(draws[0, :2]).std())
    whole = [unit * exact(draw) for draw in draws]
    reference, known, other = (statistics(described, images) for images in whole)
    distance = frechet(known, reference)
    kinds = ["trained" if given else "random" for given in (asked.decoder, asked.inception)]
    print(f"jax {jax.__version__}; {asked.images} images of {8 * asked.side} pixels, {kinds[0]} decoder, {kinds[1]} "
          f"Inception\nfloat32 to its reference {distance:.4g}; with other latents that changes by "
          f"{abs(frechet(other, reference) - distance):.2g}")  # fmt: skip
    print("| passes | rms, max difference, grey levels | 8-bit values that are another | distance to float32's images "
          "| change of the distance to the reference |\n|---|---|---|---|---|")  # fmt: skip
    for name, pairs in PASSES.items():
        images = unit * decoder(network, asked.side, pairs)(draws[1])
        levels, found = LEVELS * np.abs(images - whole[1]), statistics(described, images)
        print(
            f"| {name} | {np.sqrt(np.mean(levels**2)):.2g}, {levels.max():.2g} | "
            f"{np.mean(to_uint8(images) != to_uint8(whole[1])):.2%} | {frechet(found, known):.2g} | "
            f"{frechet(found, reference) - distance:+.2g} |", flush=True,
        )  # fmt: skip


def decoder(network: AutoencoderKL, side: int, pairs: Sequence[tuple[int, int]] | None = None) -> Decode:
    """Return the decoder, an image at a time, in float32 or with products of parts; the program is that of TPUs."""
    with compiled_for([SimpleNamespace(platform="tpu")]):  # type: ignore[list-item]
        program = jax.make_jaxpr(network.decode)(jnp.zeros((1, side, side, network.config.latent_channels)))
    run = jax.jit(lambda latents: interpreted(program.jaxpr, program.consts, [latents], pairs)[0])
    return lambda latents: np.concatenate([np.asarray(run(one[None])) for one in latents])


def interpreted(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any], pairs: Any) -> list[Any]:
    """Return a traced program's outputs, its products taken as `pairs` of parts where those are given."""
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *inputs), strict=True))

    def value(one: Any) -> Any:
        return one.val if hasattr(one, "val") else known[one]

    for equation in jaxpr.eqns:
        given = [value(one) for one in equation.invars]
        inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        if inner is not None:
            outputs = interpreted(inner.jaxpr, inner.consts, given, pairs)
        elif pairs is not None and equation.primitive.name in ("conv_general_dilated", "dot_general"):
            left, right = map(parts, given)
            terms = [equation.primitive.bind(left[i], right[j], **equation.params) for i, j in pairs]
            outputs = [sum(terms[1:], terms[0])]
        else:
            outputs = equation.primitive.bind(*given, **equation.params)
            outputs = outputs if equation.primitive.multiple_results else [outputs]
        known.update(zip(equation.outvars, outputs, strict=True))
    return [value(one) for one in jaxpr.outvars]


def parts(number: jax.Array) -> list[jax.Array]:
    """Return three float32 numbers of bfloat16's precision that add up to the number.

    By `reduce_precision`: XLA leaves a conversion there and back out, as excess precision.
    """
    found = []
    for _ in range(3):
        found.append(jax.lax.reduce_precision(number, exponent_bits=8, mantissa_bits=7))
        number = number - found[-1]
    return found


def statistics(network: Inception, images: np.ndarray) -> Reference:
    """Return mean and covariance of Inception's features of the images, rounded to 8 bits."""
    return reference_of(np.concatenate([features(network, jnp.asarray(to_uint8(one[None]))).pool for one in images]))


def frechet(one: Reference, other: Reference) -> float:
    """Return the Fréchet distance of two sets."""
    return frechet_distance(*one, *other).value


if __name__ == "__main__":
    main()
