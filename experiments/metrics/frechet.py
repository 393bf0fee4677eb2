"""The Fréchet distance of two Gaussians from their means and covariances, with an estimate of its rounding error.

All in float64, by symmetric eigenvalues only: no general matrix root, no epsilon added, no complex number.
Collecting the statistics, and what the features are, is left to others.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg
from scipy.linalg import lapack

EPSILON = float(np.finfo(np.float64).eps)

NOT_ROUNDING = 1e-3
"""Asymmetry or negative eigenvalue, over the largest entry or eigenvalue, that no float32 statistics explain."""


class StatisticsError(ValueError):
    """Means or covariances that have no Fréchet distance; the message says which and why."""


class Distance(NamedTuple):
    """`value`, and `error`: how far rounding, of the statistics given and of the arithmetic, may have moved it."""

    value: float
    error: float


def frechet_distance(mean1: ArrayLike, cov1: ArrayLike, mean2: ArrayLike, cov2: ArrayLike) -> Distance:
    """|mean1 - mean2|² + tr(cov1 + cov2 - 2 (cov1 cov2)^½), in squared units of the features.

    Means are (D,) and covariances (D, D); a scalar covariance serves for D = 1. Equal distributions give 0 to within
    `error`, so the value may be slightly negative. Raises StatisticsError on wrong shapes, values that are not finite
    and matrices that are no covariance. Source: Dowson and Landau 1982; Heusel et al. 2017, eq. 6.
    """
    mu1, sigma1 = _checked("first", mean1, cov1)
    mu2, sigma2 = _checked("second", mean2, cov2)
    if mu1.shape != mu2.shape:
        raise StatisticsError(f"statistics of {len(mu1)} features cannot be compared with those of {len(mu2)}")
    root = _trace_of_root(sigma1, sigma2)
    difference = mu1 - mu2
    rest = float(difference @ difference) + float(np.trace(sigma1)) + float(np.trace(sigma2))
    return Distance(rest - 2 * root.value, 2 * root.error + len(mu1) * EPSILON * rest)


class Reference(NamedTuple):
    """Mean (D,) and covariance (D, D) of the features that samples are held against."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def reference_of(features_ND: NDArray[np.float64]) -> Reference:
    """The sample mean and unbiased covariance of features (N, D)."""
    return Reference(features_ND.mean(axis=0), np.cov(features_ND, rowvar=False))


def relative_distance(features_ND: NDArray[np.float64], reference: Reference) -> Distance:
    """100 · Fréchet distance / tr Σ_reference: no unit, whatever the scale of the features (N, D)."""
    distance = frechet_distance(*reference_of(features_ND), *reference)
    per_cent = 100 / float(np.trace(reference.covariance))
    return Distance(distance.value * per_cent, distance.error * per_cent)


def _trace_of_root(sigma1: NDArray[np.float64], sigma2: NDArray[np.float64]) -> Distance:
    """Trace of (sigma1 sigma2)^½ = sum of the roots of the eigenvalues of Fᵀ sigma2 F, where sigma1 = F Fᵀ."""
    product, left_out = _congruent(sigma1, sigma2)
    # Rotfel'd's inequality and Cauchy-Schwarz bound what the directions left out of the factor could have added.
    error = math.sqrt(left_out * float(np.trace(sigma2)))
    if not product.size:
        return Distance(0.0, error)
    eigenvalues = linalg.eigvalsh(product, lower=True, check_finite=False)
    kept = eigenvalues > _floor(eigenvalues)
    roots = np.sqrt(np.abs(eigenvalues))
    rounding = 4 * EPSILON * float(np.linalg.norm(sigma1) * np.linalg.norm(sigma2))
    # Eigenvalues that were dropped are known to their own size: twice their roots.
    error += 2 * float(np.sum(roots[~kept])) + float(np.sum(rounding / (roots[kept] + math.sqrt(rounding))))
    return Distance(float(np.sum(roots[kept])), error)


def _congruent(sigma1: NDArray[np.float64], sigma2: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Lower triangle of Fᵀ sigma2 F with sigma1 = F Fᵀ, and the variance of sigma1 that was left out of F.

    F is the Cholesky factor, or, where sigma1 is singular to rounding, its scaled eigenvectors without the null
    directions: rounding fills each of those with some 1e-16, and the root would turn that into 1e-8 a direction.
    """
    try:
        lower = linalg.cholesky(sigma1, lower=True, check_finite=False)
        pivots = np.diag(lower) ** 2
        if pivots.min() > len(sigma1) * EPSILON * pivots.max():
            return lapack.dsygst(sigma2, lower, itype=2, lower=1)[0], 0.0  # a third of the work of two products
    except linalg.LinAlgError:
        pass
    eigenvalues, vectors = linalg.eigh(sigma1, check_finite=False)
    kept = eigenvalues > _floor(eigenvalues)
    factor = vectors[:, kept] * np.sqrt(eigenvalues[kept])
    return factor.T @ sigma2 @ factor, float(np.sum(np.abs(eigenvalues[~kept])))


def _floor(eigenvalues: NDArray[np.float64]) -> float:
    """Largest of ascending eigenvalues that rounding may have made of 0; the most negative shows the input's noise."""
    lowest, highest = float(eigenvalues[0]), float(eigenvalues[-1])
    largest = max(-lowest, highest)
    if -lowest > NOT_ROUNDING * largest:
        raise StatisticsError(
            f"not a covariance: an eigenvalue is {lowest / largest:.2g} of the largest; none is negative"
        )
    return max(len(eigenvalues) * EPSILON * highest, -lowest)


def _checked(which: str, mean: ArrayLike, cov: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mu, sigma = np.atleast_1d(np.asarray(mean, np.float64)), np.atleast_2d(np.asarray(cov, np.float64))
    if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)):
        raise StatisticsError(
            f"{which} statistics: mean {mu.shape} and covariance {sigma.shape}; expected (D,), (D, D)"
        )
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise StatisticsError(f"{which} statistics hold values that are not finite: were there NaNs in the images?")
    if np.abs(sigma - sigma.T).max() > NOT_ROUNDING * np.abs(sigma).max():
        raise StatisticsError(f"{which} statistics: the covariance is not symmetric")
    return mu, (sigma + sigma.T) / 2
