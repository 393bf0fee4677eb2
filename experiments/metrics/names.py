"""Names of every measurement that a spec can ask for, and what each needs; computing them is elsewhere.

Imports nothing of weight, so that a spec is checked before a program is loaded.
"""

from typing import NamedTuple

from dit_grid.experiments.spec.run import HELDOUT_LOSS as HELDOUT_LOSS

DIGITS = ("fd_conv", "fd_classifier", "accuracy")
INCEPTION = "inception"


class Needs(NamedTuple):
    """What an image metric is made of besides samples: the reference's statistics, its images, the Inception network.

    `spatial` is about the statistics of sFID's features.
    """

    statistics: bool = False
    images: bool = False
    inception: bool = False
    spatial: bool = False


IMAGES = {
    "fid": Needs(statistics=True, inception=True),
    "sfid": Needs(statistics=True, inception=True, spatial=True),
    "is": Needs(inception=True),
    "inception_score": Needs(inception=True),
    "fd": Needs(statistics=True),
    "precision": Needs(images=True),
    "recall": Needs(images=True),
    "density": Needs(images=True),
    "coverage": Needs(images=True),
    "kid": Needs(images=True),
    "cmmd": Needs(images=True),
}
"""Metrics of images over a feature network. `is` and `inception_score` are one score under two names; `fd` is FID's
formula over any features, `cmmd` and `kid` are unbiased."""
OWN = {"digits": DIGITS, "captioned-digits": DIGITS}
"""Metrics that a dataset defines for itself, by its name; `dataset_metrics` makes them."""

KNOWN = (HELDOUT_LOSS, *DIGITS, *IMAGES)
