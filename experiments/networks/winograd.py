"""3×3 convolutions on CPUs with half the multiplications: minimal filtering F(4, 3) along the width.

Four neighbouring outputs of a filter of three taps are a polynomial product, which six products of values determine
where direct sums take twelve (Winograd 1980; Lavin & Gray 2016, arXiv 1509.09308, section 4.1). Height stays direct, so
that the products remain convolutions: both ways at once they are batches of matrices, and XLA was seen to multiply
those at 20 to 36 GMAC a second on a core, and to convolve at 44 to 53.

Lavin & Gray evaluate at 0, ±1, ±2 and infinity. At 0, ±3/4, ±3/2 and infinity float32 loses a third less, 7e-7 against
1e-6 of the outputs' deviation, and a direct sum 3e-7 (root mean squares over 256 channels).
"""

from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import PrecisionLike
from numpy.typing import NDArray

from dit_grid.experiments.networks.local_devices import platform

EXACT = "highest"
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
OUTPUTS, TAPS = 4, 3
ENOUGH_CHANNELS, ENOUGH_PIXELS = 64, 4096
"""From this many input channels and pixels of a batch on. With 1,024 pixels it is no quicker; fewer channels were not
measured."""


def conv_3x3(
    x_NHWC: jax.Array, kernel_HWCD: jax.Array, padding: int = 1, precision: PrecisionLike = EXACT
) -> jax.Array:
    """The convolution at stride 1, `padding` zeros at each edge: (N, H, W, C) and (3, 3, C, D) to (N, H', W', D).

    Minimal filtering where it is quicker, on CPUs and large inputs; else the backend's own, in the precision.
    """
    N, H, W, C = x_NHWC.shape
    pays = C >= ENOUGH_CHANNELS and N * H * W >= ENOUGH_PIXELS
    if pays and platform() == "cpu":
        return filtered(x_NHWC, kernel_HWCD, padding)
    return _conv(x_NHWC, kernel_HWCD, ((padding, padding), (padding, padding)), precision)


def filtered(x_NHWC: jax.Array, kernel_HWCD: jax.Array, padding: int = 1) -> jax.Array:
    """`conv_3x3` by minimal filtering."""
    N, _, W, _ = x_NHWC.shape
    width = W + 2 * padding - TAPS + 1
    tiles = -(-width // OUTPUTS)
    of_outputs, of_taps, of_inputs = transforms()
    # Tile t reads columns 4t to 4t + 5 of the padded image; slice k holds the k-th of each tile.
    right = OUTPUTS * tiles + TAPS - 1 - W - padding
    padded = jnp.pad(x_NHWC, ((0, 0), (0, 0), (padding, right), (0, 0)))
    slices = [padded[:, :, k : k + OUTPUTS * tiles : OUTPUTS] for k in range(len(of_inputs))]
    kernels = jnp.einsum("pk,hkcd->phcd", of_taps.astype(np.float32), kernel_HWCD, precision="highest")[:, :, None]
    products = [
        _conv(_combined(row, slices), kernel, ((padding, padding), (0, 0)))
        for row, kernel in zip(of_inputs, kernels, strict=True)
    ]
    outputs_NHtkD = jnp.stack([_combined(row, products) for row in of_outputs], axis=3)
    return outputs_NHtkD.reshape(N, -1, OUTPUTS * tiles, kernel_HWCD.shape[-1])[:, :, :width]


def transforms() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The matrices A (4, 6), G (6, 3) and B (6, 6) with A ((G g) · (B d)) the four outputs of taps g on inputs d.

    A and G evaluate polynomials at the points, infinity last; B is the transpose of interpolation, each row scaled by
    a power of two to a largest entry near 1, and G against it.
    """
    points = np.array(POINTS)
    gaps = np.array([np.prod(np.delete(p - points, i)) for i, p in enumerate(points)])
    of_outputs = np.c_[np.vander(points, OUTPUTS, increasing=True).T, np.eye(OUTPUTS)[-1]]
    of_taps = np.r_[np.vander(points, TAPS, increasing=True) / gaps[:, None], np.eye(TAPS)[-1:]]
    others = [np.polynomial.polynomial.polyfromroots(np.delete(points, i)) for i in range(len(points))]
    of_inputs = np.r_[np.pad(others, ((0, 0), (0, 1))), [np.polynomial.polynomial.polyfromroots(points)]]
    scale = 2.0 ** np.round(np.log2(np.abs(of_inputs).max(axis=1, keepdims=True)))
    return of_outputs, of_taps * scale, of_inputs / scale


def _combined(weights: NDArray[np.float64], arrays: list[jax.Array]) -> jax.Array:
    """The weighted sum, in the arrays' precision."""
    return reduce(jnp.add, [float(w) * array for w, array in zip(weights, arrays, strict=True) if w])


def _conv(
    x_NHWC: jax.Array, kernel_HWCD: jax.Array, padding: tuple[tuple[int, int], ...], precision: PrecisionLike = EXACT
) -> jax.Array:
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x_NHWC, kernel_HWCD, (1, 1), padding, dimension_numbers=layout, precision=precision
    )
