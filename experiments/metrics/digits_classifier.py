"""Which digit an 8×8 image shows, by kernel ridge regression on the training split: deterministic, fitted in a moment.

It answers whether samples show the class that was asked for; how good they look is `digits_features`.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from dit_grid.experiments.data.dataset import array_sha256
from dit_grid.experiments.data.digits import digits, to_ink
from dit_grid.experiments.metrics.frechet import Distance, Reference, reference_of, relative_distance

CLASSIFIER_NAME = "kernel-ridge-ink-levels"

KERNEL_SCALE = 5e-4
"""Per squared ink level: exp(-KERNEL_SCALE |x - y|²). Chosen with RIDGE by cross-validation on the training digits."""

RIDGE = 1e-2
"""Added to the kernel's diagonal, whose entries are 1."""


class Classifier(NamedTuple):
    """Training images (N, 64) in ink levels, and what each adds to the ten scores (N, 10)."""

    images: NDArray[np.float64]
    weights: NDArray[np.float64]


@cache
def classifier() -> Classifier:
    """The classifier, fitted on first use to the 1,500 training digits."""
    images, labels = digits().train()
    flat = _flat(images)
    targets = np.eye(digits().classes)[labels]
    system = _kernel(flat, flat) + RIDGE * np.eye(len(flat))
    return Classifier(flat, linalg.solve(system, targets, assume_a="pos", overwrite_a=True, check_finite=False))


@cache
def classifier_sha256() -> str:
    """SHA-256 of all that determines the classifier: its training digits and two settings.

    Not of the fitted weights, whose last bits depend on the linear algebra library.
    """
    return array_sha256(*digits().train(), np.array([KERNEL_SCALE, RIDGE]))


def class_scores(images: np.ndarray) -> NDArray[np.float64]:
    """Ten scores of each image (N, 8, 8, 1) in [-1, 1], clipped and rounded to ink levels as the file's are.

    The score of the digit shown is near 1, the others near 0.
    """
    fitted = classifier()
    return _kernel(_flat(images), fitted.images) @ fitted.weights


def predict(images: np.ndarray) -> NDArray[np.int64]:
    """Digit shown by each image (N, 8, 8, 1): the one of the largest score."""
    return np.argmax(class_scores(images), axis=1)


def classifier_distance(samples: np.ndarray) -> Distance:
    """100 · Fréchet distance / tr Σ_reference of class scores of samples (N, 8, 8, 1) against all 1,797 digits.

    It sees what `digits_features` hardly does: classes that are missing, or asked for too often.
    """
    return relative_distance(class_scores(samples), _reference())


@cache
def _reference() -> Reference:
    return reference_of(class_scores(digits().all().images))


def accuracy(samples: np.ndarray, labels: np.ndarray) -> float:
    """Share of samples (N, 8, 8, 1) that show the digit (N,) they were asked for; 0 to 1."""
    return float(np.mean(predict(samples) == labels))


def _flat(images: np.ndarray) -> NDArray[np.float64]:
    return to_ink(images).reshape(len(images), -1)


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    squared = np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1) - 2 * (x @ y.T)
    return np.exp(-KERNEL_SCALE * squared)
