"""The quick 3×3 convolution is the convolution, exactly in its algebra and to rounding in float32."""

import jax
import numpy as np
import pytest

from dit_grid.experiments.networks import winograd


def direct(images, kernel, padding):
    """A zero-padded convolution in float64, tap by tap."""
    edges = (padding, padding)
    padded = np.pad(images.astype(np.float64), ((0, 0), edges, edges, (0, 0)))
    H, W = padded.shape[1] - 2, padded.shape[2] - 2
    parts = (padded[:, i : i + H, j : j + W] @ kernel[i, j].astype(np.float64) for i in range(3) for j in range(3))
    return sum(parts)


def test_the_transforms_turn_six_products_into_four_outputs():
    of_outputs, of_taps, of_inputs = winograd.transforms()
    draw = np.random.default_rng(0)
    inputs, taps = draw.standard_normal(6), draw.standard_normal(3)
    found = of_outputs @ ((of_taps @ taps) * (of_inputs @ inputs))
    np.testing.assert_allclose(found, np.correlate(inputs, taps), rtol=1e-12)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(
    ("convolve", "shape"),
    [(winograd.filtered, shape) for shape in ((2, 64, 64, 64), (1, 5, 7, 96), (3, 3, 6, 65), (1, 4, 3, 8))]
    # Large and wide enough for the quick way; a width that is no multiple of four; too small; too few channels.
    + [(winograd.conv_3x3, shape) for shape in ((1, 64, 64, 64), (1, 64, 66, 64), (1, 32, 32, 64), (1, 64, 64, 3))],
)
def test_images_are_convolved_whichever_way_is_taken(convolve, shape, padding):
    draw = np.random.default_rng(1)
    images = draw.standard_normal(shape).astype(np.float32)
    kernel = draw.standard_normal((3, 3, shape[-1], 24)).astype(np.float32)
    found = np.asarray(jax.jit(convolve, static_argnums=2)(images, kernel, padding))
    known = direct(images, kernel, padding)
    assert np.sqrt(np.mean((found - known) ** 2)) <= 1e-6 * known.std()  # float32 over hundreds of products
