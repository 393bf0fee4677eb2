"""What real images of a dataset score on its own metrics: the number beside which that of samples says something."""

from functools import cache

import numpy as np

from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.metrics.digits_classifier import accuracy, classifier_distance
from dit_grid.experiments.metrics.digits_features import digits_distance

DIGITS = ("digits", "captioned-digits")
"""Datasets whose images are the digits, whatever conditions them."""

DRAW_SEED = 0


@cache
def scores_of_real_images(dataset: str, count: int) -> dict[str, float]:
    """Metrics of real images by name; empty for a dataset that has no metrics of its own.

    Distances are of `count` images drawn from all with replacement: as few samples, however good, score no better on
    average. The accuracy is that of the held-out images, for the classifier was fitted to the others.
    """
    if dataset not in DIGITS:
        return {}
    whole = digits().all().images
    drawn = whole[np.random.default_rng(DRAW_SEED).integers(len(whole), size=count)]
    images, labels = digits().heldout()
    return {
        "fd_conv": digits_distance(drawn).value,
        "fd_classifier": classifier_distance(drawn).value,
        "accuracy": accuracy(images, labels),
    }
