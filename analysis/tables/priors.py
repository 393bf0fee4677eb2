"""What is believed of a table before it is read: exponents, floors, noise and misfit, as public tables have them.

The numbers come from `public_fits.csv`, a row a table; leaving tables out by name is for scoring them, and leaves out
all of their source. What the rows cannot say (they are few) is held by weak anchors, stated here.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr

DISTANCE, LOSS = "distance", "loss"
_DISTANCE_NAMES = ("fid", "fd", "kid", "fdd", "sfid", "kd", "cmmd", "frechet")

FLOORS = np.array([0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97])
"""Shares that a floor may have of the value at the dearest measured row."""

ANCHORS = {DISTANCE: (0.45, 0.45, 0.4, 0.013), LOSS: (0.3, 0.6, 0.1, 0.004)}
"""Exponent, its spread in ln, chance of no floor, relative noise: the noise is that of seeds (FID 1.3 %, arXiv
2606.20536; losses .1 to .4 %), the others round numbers that a few tables may move."""

ANCHOR_WEIGHT = 4
"""How many tables an anchor counts for."""

RISE = 0.7
"""How much ln of the exponent of what lies above a floor rises with the floor's share: EDM2's .8 lie with exponents of
.75 where families without one have .45."""

SMALL_FLOOR = 0.15
"""Mean floor share below which a public table shows none."""

DRIFT_SD = 0.02
"""Prior sd of how an exponent drifts per nat of the other axis; twice and half as much forecast slightly worse."""

BEND_SD = 0.05
"""Prior sd of how an exponent drifts per nat along its own axis, doubled."""

RATIOS = np.array([0.0, 1.0, 3.0, 10.0, 30.0])
_RATIO_CHANCE = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
NOISE_SPREAD = {DISTANCE: 0.8, LOSS: 1.0}


FID_FLOOR, FID_FLOOR_SPREAD = 1.4, 0.35
"""Where FID ends, and the spread of ln of it: 50,000 images of ImageNet's validation set have 1.7 and the best models
1.1 to 1.6, whatever their family, so a FID near it has little left to fall."""

KNOWN_FLOOR = 0.5
"""How much of FID's floor is that; the rest is a floor of the table's own, as of a model trained longer and longer."""


@dataclass(frozen=True)
class Prior:
    """Grids of floor share, relative noise and ratio of misfit to noise with ln of their chances; ln a's mean, sd."""

    kind: str
    exponent: tuple[float, float]
    floors: np.ndarray
    log_floor: np.ndarray
    noises: np.ndarray
    log_noise: np.ndarray
    ratios: np.ndarray
    log_ratio: np.ndarray


def kind_of(y: str) -> str:
    """Whether a metric of this name is a distance between sets of images, or a loss or error."""
    near = any(word.startswith(_DISTANCE_NAMES) for word in _words(y))
    return DISTANCE if near else LOSS


def _words(y: str) -> list[str]:
    return y.lower().replace("-", "_").split("_")


@lru_cache
def prior_of(kind: str, without: tuple[str, ...] = ()) -> Prior:
    """The prior of a kind of metric, learned from the public tables but those from the sources of `without`."""
    rows = public_fits()
    sources = rows.loc[rows["table"].isin(without), "source"]
    rows = rows[(rows["kind"] == kind) & ~rows["source"].isin(sources)]
    exponent, spread, no_floor, noise = ANCHORS[kind]
    n, w = len(rows), ANCHOR_WEIGHT
    bare = np.log(rows["exponent"]) - RISE * rows["floor"]
    centre = (bare.sum() + w * np.log(exponent)) / (n + w)
    off = ((bare - centre) ** 2).sum() + w * spread**2
    chance = ((rows["floor"] < SMALL_FLOOR).sum() + w * no_floor) / (n + w)
    ln_noise = (np.log(rows["noise"]).sum() + w * np.log(noise)) / (n + w)
    noises = np.exp(ln_noise + NOISE_SPREAD[kind] * np.linspace(-2, 2, 9))
    edges = np.concatenate([[0], (FLOORS[2:] + FLOORS[1:-1]) / 2, [0.985]])
    floors = np.concatenate([[chance], (1 - chance) * np.diff(edges) / edges[-1]])
    log_noise = -0.5 * np.linspace(-2, 2, 9) ** 2
    return Prior(
        kind, (float(centre), float(np.sqrt(off / (n + w)))), FLOORS, np.log(floors), noises,
        log_noise - np.logaddexp.reduce(log_noise), RATIOS, np.log(_RATIO_CHANCE),
    )  # fmt: skip


def with_floor_of(prior: Prior, y: str, dearest: float) -> Prior:
    """The prior with what is known of the floor of a metric of this name, whose dearest measured value is `dearest`."""
    if not _words(y)[0].startswith("fid"):
        return prior
    edges = np.concatenate([[1e-3], (FLOORS[2:] + FLOORS[1:-1]) / 2, [0.985]])
    below = ndtr(np.log(edges * dearest / FID_FLOOR) / FID_FLOOR_SPREAD)
    known = np.concatenate([[0], np.maximum(np.diff(below), 1e-12)])
    floors = KNOWN_FLOOR * known / known.sum() + (1 - KNOWN_FLOOR) * np.exp(prior.log_floor)
    return replace(prior, log_floor=np.log(floors))


@lru_cache
def public_fits() -> pd.DataFrame:
    """A row a public table: its kind, and exponent, floor share, noise and misfit of a power law with floor on it."""
    return pd.read_csv(Path(__file__).parent / "public_fits.csv", comment="#")
