"""Unbiased squared maximum mean discrepancy of two sets of features: KID and its relatives.

Unlike FID its expectation does not depend on the number of samples, so small sets can be compared with large ones.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2000

CMMD_BANDWIDTH, CMMD_SCALE = 10.0, 1000.0
"""The bandwidth and the factor of the published figures."""

Kernel = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""From rows (N, D) and (M, D) to the kernel's values (N, M)."""


def cubic_kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(x·y / D + 1)³, KID's kernel. Source: Bińkowski et al. 2018."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def gaussian_kernel(bandwidth: float) -> Kernel:
    """exp(-|x - y|² / 2 bandwidth²); CMMD takes 10 on CLIP features of length 1. Source: Jayasumana et al. 2024."""

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        squared = np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1) - 2 * (x @ y.T)
        return np.exp(-np.maximum(squared, 0) / (2 * bandwidth**2))

    return kernel


def squared_mmd(reference: np.ndarray, samples: np.ndarray, kernel: Kernel = cubic_kernel) -> float:
    """Unbiased MMD² of samples (M, D) against reference (N, D) over all pairs, in float64; may be negative.

    With the default kernel this is KID, of all images at once and not of subsets. Raises ValueError below two rows.
    """
    if min(len(reference), len(samples)) < 2:
        raise ValueError(f"{len(reference)} reference images and {len(samples)} samples; give at least 2 of each")
    x, y = np.asarray(reference, np.float64), np.asarray(samples, np.float64)
    n, m = len(x), len(y)
    own = _sum_of_others(x, kernel) / (n * (n - 1)) + _sum_of_others(y, kernel) / (m * (m - 1))
    return own - 2 * _sum(x, y, kernel) / (n * m)


def unit_gaussian_mmd(reference: np.ndarray, samples: np.ndarray) -> float:
    """1000 · unbiased MMD² with a Gaussian kernel of bandwidth 10 on features scaled to length 1; may be negative.

    Over CLIP features this is CMMD, whose published code takes the biased estimate. Source: Jayasumana et al. 2024.
    """
    x, y = (np.asarray(rows, np.float64) for rows in (reference, samples))
    x, y = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny) for rows in (x, y))
    return CMMD_SCALE * squared_mmd(x, y, gaussian_kernel(CMMD_BANDWIDTH))


def _sum_of_others(x: NDArray[np.float64], kernel: Kernel) -> float:
    """Sum over all pairs of different rows."""
    blocks = [x[i : i + _BLOCK] for i in range(0, len(x), _BLOCK)]
    total = 0.0
    for i, block in enumerate(blocks):
        values = kernel(block, block)
        total += float(values.sum() - np.trace(values))
        total += 2 * sum(float(kernel(block, other).sum()) for other in blocks[i + 1 :])
    return total


def _sum(x: NDArray[np.float64], y: NDArray[np.float64], kernel: Kernel) -> float:
    starts = range(0, len(x), _BLOCK), range(0, len(y), _BLOCK)
    return sum(float(kernel(x[i : i + _BLOCK], y[j : j + _BLOCK]).sum()) for i in starts[0] for j in starts[1])
