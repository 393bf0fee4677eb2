"""All scores of a set of 8-bit images against a reference: FID, sFID, Inception Score, precision and recall, or FD.

Images come in chunks and go through a feature network once; what the network is, is a contract (`FeatureNetwork`).
Sampling, decoding, and reading arguments is left to others.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dit_grid.experiments.metrics.frechet import frechet_distance
from dit_grid.experiments.metrics.inception_score import inception_score
from dit_grid.experiments.metrics.moments import Moments
from dit_grid.experiments.metrics.neighbours import precision_recall
from dit_grid.experiments.metrics.reference import Gaussian, MismatchError, Provenance, Reference, check_comparable

POOL, SPATIAL = "pool", "spatial"


@dataclass(frozen=True)
class FeatureNetwork:
    """Any function from uint8 images (B, H, W, 3) to named features (B, D), of which one must be `pool`.

    `preparation` names crop and resize, for the record. `classify`, from pool features (B, D) to logits, is what an
    Inception Score needs. Scores are called fid, sfid … for the network named `inception`, else fd-NAME.
    """

    name: str
    sha256: str
    preparation: str
    extract: Callable[[NDArray[np.uint8]], Mapping[str, ArrayLike]]
    classify: Callable[[NDArray[np.float32]], np.ndarray] | None = None


@dataclass(frozen=True)
class Collected:
    """What is kept of a set of images: moments of every feature, and the pool features (N, D), float32, themselves."""

    moments: dict[str, Moments]
    rows: NDArray[np.float32]
    provenance: Provenance

    def gaussian(self, feature: str) -> Gaussian:
        return Gaussian(self.moments[feature].mean, self.moments[feature].covariance())


def collect(network: FeatureNetwork, chunks: Iterable[NDArray[np.uint8]], batch: int = 32) -> Collected:
    """Features of all images, in batches of one size, the last one padded and cut back, so that no image is dropped.

    Chunks may have any length; the result does not depend on them. Raises ValueError when there is no image.
    """
    moments: dict[str, Moments] = {}
    rows: list[NDArray[np.float32]] = []
    digest = hashlib.sha256()
    for images in _rebatched(chunks, batch):
        digest.update(np.ascontiguousarray(images).data)
        padded = np.concatenate([images, np.repeat(images[-1:], batch - len(images), axis=0)])
        found = {name: np.asarray(array)[: len(images)] for name, array in network.extract(padded).items()}
        for name, array in found.items():
            moments.setdefault(name, Moments(array.shape[1])).add(array)
        rows.append(found[POOL].astype(np.float32))
    if not rows:
        raise ValueError("no images to score")
    count = moments[POOL].count
    made = Provenance(network.name, network.sha256, network.preparation, count, digest.hexdigest())
    return Collected(moments, np.concatenate(rows), made)


def scores(
    network: FeatureNetwork, samples: Collected, reference: Reference, reference_rows: NDArray[np.float32] | None = None
) -> dict[str, float]:
    """Every score that can be had, by name; precision and recall need pool features (M, D) of reference images.

    Raises MismatchError when samples and reference were made differently. Warns when there are no more samples than
    features, because the covariance is then singular and the distance far too large.
    """
    features, count = samples.rows.shape[1], len(samples.rows)
    check_comparable(reference, samples.provenance, features)
    if count <= features:
        warnings.warn(
            f"{count} samples for {features} features: their covariance is singular and the distance is biased upwards "
            "by far; compare only with figures at the same number, or draw 50,000",
            stacklevel=2,
        )
    inception = network.name == "inception"
    found = {"fid" if inception else f"fd-{network.name}": _distance(samples, POOL, reference.pool)}
    if reference.spatial is not None and SPATIAL in samples.moments:
        found["sfid"] = _distance(samples, SPATIAL, reference.spatial)
    if network.classify is not None:
        found["inception_score"] = inception_score(network.classify(samples.rows))
    if reference_rows is not None:
        found |= precision_recall(reference_rows, samples.rows)._asdict()
    return found


def _distance(samples: Collected, feature: str, reference: Gaussian) -> float:
    mean, covariance = samples.gaussian(feature)
    if len(mean) != len(reference.mean):
        raise MismatchError(
            f"{feature}: {len(mean)} features of the samples and {len(reference.mean)} of the reference"
        )
    return frechet_distance(mean, covariance, *reference).value


def _rebatched(chunks: Iterable[NDArray[np.uint8]], batch: int) -> Iterator[NDArray[np.uint8]]:
    """The same images in order, `batch` at a time, with what is left at the end."""
    waiting: list[NDArray[np.uint8]] = []
    for chunk in chunks:
        waiting.append(chunk)
        if sum(map(len, waiting)) < batch:
            continue
        joined = np.concatenate(waiting)
        whole = len(joined) // batch * batch
        yield from np.split(joined[:whole], whole // batch)
        waiting = [joined[whole:]]
    if sum(map(len, waiting)):
        yield np.concatenate(waiting)
