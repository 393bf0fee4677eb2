"""A Fréchet distance for 8×8 digits over an untrained two-layer convolution: nothing to train, download or trust.

Raw pixels and principal components are no substitute: there a Gaussian with the data's mean and covariance scores
better than real digits. Which digit a sample shows is hardly seen here; `digits_classifier` measures that.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import array_sha256
from dit_grid.experiments.data.digits import INK_LEVELS, digits, to_ink
from dit_grid.experiments.metrics.frechet import Distance, Reference, reference_of, relative_distance

FEATURES = 64
FEATURES_NAME = "untrained-conv-ink-levels"
"""The extractor, and the form its images are brought to first."""

EXTRACTOR_SEED = 0

_CHUNK = 256
"""Images at a time: the patches of the second layer stay at 4.7 MB."""


class Extractor(NamedTuple):
    """Weights by patch order (input channel, row, column), with their biases; float64."""

    weight1_9x16: NDArray[np.float64]
    bias1_16: NDArray[np.float64]
    weight2_144x64: NDArray[np.float64]
    bias2_64: NDArray[np.float64]


@cache
def extractor() -> Extractor:
    """The frozen weights: He initialisation and biases of spread 0.3, drawn from one seed."""
    draw = np.random.default_rng(EXTRACTOR_SEED).standard_normal
    weight1, bias1 = draw((16, 9)) * np.sqrt(2 / 9), draw(16) * 0.3
    weight2, bias2 = draw((FEATURES, 144)) * np.sqrt(2 / 144), draw(FEATURES) * 0.3
    return Extractor(weight1.T, bias1, weight2.T, bias2)


@cache
def extractor_sha256() -> str:
    """SHA-256 of the weights."""
    return array_sha256(*extractor())


def features(images: np.ndarray) -> NDArray[np.float64]:
    """Features (N, 64) of images (N, 8, 8, 1) in [-1, 1]: two 3×3 convolutions with ReLU, averaged over the map."""
    chunks = [_features(images[i : i + _CHUNK]) for i in range(0, len(images), _CHUNK)]
    return np.concatenate(chunks)


def digits_distance(samples: np.ndarray) -> Distance:
    """100 · Fréchet distance / tr Σ_reference of samples (N, 8, 8, 1) in [-1, 1] against all 1,797 digits.

    Samples are taken as the file would hold them, clipped and rounded to whole ink levels (`to_ink`), as FID takes
    8-bit images: real digits are fixed points of that rule, so saved and reloaded samples score the same, and a
    difference that no digit image can show is not held against a model. 1,797 real digits drawn anew score about 0.33.
    """
    return relative_distance(features(to_ink(samples) / ((INK_LEVELS - 1) / 2) - 1), _reference())


@cache
def _reference() -> Reference:
    return reference_of(features(digits().all().images))


def _features(images: np.ndarray) -> NDArray[np.float64]:
    weights = extractor()
    x_NCHW = np.moveaxis(np.asarray(images, np.float64), -1, 1)
    x_NHWC = np.maximum(_patches(x_NCHW, stride=1) @ weights.weight1_9x16 + weights.bias1_16, 0)
    x_NHWC = np.maximum(_patches(np.moveaxis(x_NHWC, -1, 1), stride=2) @ weights.weight2_144x64 + weights.bias2_64, 0)
    return x_NHWC.mean(axis=(1, 2))


def _patches(x_NCHW: np.ndarray, stride: int) -> np.ndarray:
    """3×3 patches (N, H/stride, W/stride, 9 C) of a map padded with one zero all round."""
    padded = np.pad(x_NCHW, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::stride, ::stride]
    patches = windows.transpose(0, 2, 3, 1, 4, 5)
    return patches.reshape(*patches.shape[:3], -1)
