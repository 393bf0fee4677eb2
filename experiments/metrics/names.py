"""Names of every measurement that a spec can ask for, and what each needs; computing them is elsewhere.

Imports nothing of weight, so that a spec is checked before a program is loaded.
"""

from typing import NamedTuple

from dit_grid.experiments.spec.measurement import HELDOUT_LOSS as HELDOUT_LOSS

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

SAYS = {
    HELDOUT_LOSS: "Training's own loss on images not trained on; no samples are drawn; compare within one objective.",
    "fd_conv": "100 · Fréchet distance / tr Σ of the real digits, over an untrained two-layer convolution.",
    "fd_classifier": "The same over the class scores of a kernel classifier: it sees missing classes.",
    "accuracy": "Share of samples that the classifier reads as the digit that was asked for.",
    "fid": "Fréchet distance of Inception's pool features (Heusel et al. 2017); falls with the number of samples.",
    "sfid": "FID over Inception's spatial features (Nash et al. 2021).",
    "is": "Inception Score (Salimans et al. 2016), as ADM's suite: the mean over blocks of 5,000 images.",
    "inception_score": "The same as `is`.",
    "fd": "FID's formula over any feature network.",
    "precision": "Share of samples within a real image's third-neighbour ball (Kynkäänniemi et al. 2019).",
    "recall": "Share of real images within a sample's third-neighbour ball (the same).",
    "density": "Real images' fifth-neighbour balls around a sample, over 5 (Naeem et al. 2020).",
    "coverage": "Share of real images' fifth-neighbour balls that hold a sample (the same).",
    "kid": "Unbiased MMD² with the cubic kernel, of all images at once (Bińkowski et al. 2018).",
    "cmmd": "1,000 · unbiased MMD² with a Gaussian kernel of bandwidth 10 on unit features (Jayasumana et al. 2024).",
}
"""What each measurement is, in a sentence with its source."""
