"""Seeded images and weights that golden network outputs were computed with, rebuilt bit for bit instead of stored."""

import zlib

import numpy as np
import pytest


def images_u8(seed, n, size):
    """uint8 (n, size, size, 3): white noise at even places, ramps under a checkerboard at odd ones."""
    images = np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    for i in range(1, n, 2):
        ramp = (y * (3 + i) + x * (5 + 2 * c) + 40 * c) * 256 // (size * 12)
        images[i] = ((ramp + ((y // (2 + i) + x // (3 + i)) % 2) * 60 + 17 * i) % 256).astype(np.uint8)
    return images


def weight(name, shape, seed, gain):
    """float32 tensor of a PyTorch name and shape; its draw depends on the name alone."""
    draw = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name.endswith("running_var"):
        found = 0.5 + draw.random(shape)
    elif name.endswith(("running_mean", "bias")):
        found = 0.1 * draw.standard_normal(shape)
    elif len(shape) == 1:
        found = 1.0 + 0.1 * draw.standard_normal(shape)
    else:
        found = draw.standard_normal(shape) * np.sqrt(gain / np.prod(shape[1:]))
    return found.astype(np.float32)


@pytest.fixture(scope="session")
def recipe_images():
    return images_u8


@pytest.fixture(scope="session")
def recipe_weight():
    return weight
