"""Precision, recall, density and coverage: do samples fall among real images in feature space, and the reverse.

Distances are float32 products of centred features, in blocks, so memory is bounded whatever the number of images;
a decision closer than about 1e-5 of the distance, of which golden cases have none but exact ties, may go either way.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2500
"""Rows and columns of one block of distances: 25 MB."""

ADM_NEIGHBOURS = 3
PRDC_NEIGHBOURS = 5


class PrecisionRecall(NamedTuple):
    """Share of samples inside a reference ball, and of reference images inside a sample ball."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Reference balls around a sample over k, and the share of reference balls that hold a sample."""

    density: float
    coverage: float


class _Hits(NamedTuple):
    balls_of_sample: NDArray[np.int64]  # (M,) reference balls that a sample lies in
    ball_is_met: NDArray[np.bool_]  # (N,) does a reference ball hold a sample
    reference_is_met: NDArray[np.bool_]  # (N,) does a reference image lie in a sample's ball


_Compare = Callable[[np.ndarray, np.ndarray], np.ndarray]


def precision_recall(reference: np.ndarray, samples: np.ndarray, k: int = ADM_NEIGHBOURS) -> PrecisionRecall:
    """Improved precision and recall of samples (M, D) against reference (N, D), as ADM's suite defines them.

    A ball reaches to the k-th neighbour within its own set, and a point on its surface is inside. ADM itself measures
    in float16 and differs by up to 0.01. Raises ValueError for k or fewer rows. Source: Kynkäänniemi et al. 2019.
    """
    hits = _hits(reference, samples, k, np.less_equal)
    return PrecisionRecall(float(np.mean(hits.balls_of_sample > 0)), float(np.mean(hits.reference_is_met)))


def density_coverage(reference: np.ndarray, samples: np.ndarray, k: int = PRDC_NEIGHBOURS) -> DensityCoverage:
    """Density and coverage of samples (M, D) against reference (N, D); a point on a ball's surface is outside.

    Raises ValueError for k or fewer rows. Source: Naeem et al. 2020, eq. 5 and 6.
    """
    hits = _hits(reference, samples, k, np.less)
    return DensityCoverage(float(np.mean(hits.balls_of_sample) / k), float(np.mean(hits.ball_is_met)))


def radii(points: np.ndarray, k: int) -> NDArray[np.float32]:
    """Squared distance (N,) of each of points (N, D), float32, to its k-th neighbour among the others."""
    if len(points) <= k:
        raise ValueError(f"{len(points)} images have no {k}-th neighbours; give more than {k}")
    nearest = np.full((len(points), k + 1), np.inf, np.float32)  # the point itself is one of them
    for rows in _blocks(len(points)):
        for columns in _blocks(len(points), start=rows.start):
            distances = _squared_distances(points[rows], points[columns])
            nearest[rows] = _smallest(nearest[rows], distances)
            if rows != columns:
                nearest[columns] = _smallest(nearest[columns], distances.T)
    return nearest.max(axis=1)


def _hits(reference: np.ndarray, samples: np.ndarray, k: int, inside: _Compare) -> _Hits:
    centre = _coarse_mean(reference)
    reference, samples = (reference - centre).astype(np.float32), (samples - centre).astype(np.float32)
    reference_radii, sample_radii = radii(reference, k), radii(samples, k)
    hits = _Hits(np.zeros(len(samples), np.int64), np.zeros(len(reference), bool), np.zeros(len(reference), bool))
    for rows in _blocks(len(reference)):
        for columns in _blocks(len(samples)):
            distances = _squared_distances(reference[rows], samples[columns])
            in_reference = inside(distances, reference_radii[rows, None])
            hits.balls_of_sample[columns] += np.count_nonzero(in_reference, axis=0)
            hits.ball_is_met[rows] |= in_reference.any(axis=1)
            hits.reference_is_met[rows] |= inside(distances, sample_radii[columns]).any(axis=1)
    return hits


def _coarse_mean(points: np.ndarray) -> NDArray[np.float64]:
    """The mean (D,), whose removal spares the products two digits, rounded so coarsely that ties stay exact ties."""
    spread = float(np.std(points, dtype=np.float64))
    grid = 2.0 ** np.floor(np.log2(spread)) if spread > 0 else 1.0
    return np.rint(points.mean(axis=0, dtype=np.float64) / grid) * grid


def _blocks(size: int, start: int = 0) -> Iterator[slice]:
    return (slice(i, min(i + _BLOCK, size)) for i in range(start, size, _BLOCK))


def _smallest(kept: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """The smallest of both, row by row, as many as `kept` has columns."""
    count = kept.shape[1]
    return np.partition(np.hstack([kept, distances]), count - 1, axis=1)[:, :count]


def _squared_distances(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    distances = x @ y.T
    distances *= -2
    distances += np.einsum("nd,nd->n", x, x)[:, None]
    distances += np.einsum("nd,nd->n", y, y)
    return np.maximum(distances, 0, out=distances)
