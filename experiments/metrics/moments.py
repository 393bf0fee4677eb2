"""Mean and covariance of any number of feature rows in constant memory, from chunks and hosts in any order.

What the features are, and what is done with the moments, is left to others; `frechet` compares two of them.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

_ROWS = 1024
"""Rows at a time: 17 MB of float64 at 2,048 features, enough for the product to run at full speed."""


class MomentsError(ValueError):
    """Rows or counts that have no mean and covariance; the message says why."""


class Moments:
    """Count, mean (D,) and scatter (D, D) = Σ (x - mean)(x - mean)ᵀ of the rows added so far, in float64.

    Chunks are centred on their own mean before they are multiplied, so an offset that dwarfs the spread costs no
    digits. Any partition and order agree to about 1e-13. Source: Chan, Golub and LeVeque 1979, eq. 2.1.
    """

    def __init__(self, features: int) -> None:
        self.count = 0
        self.mean = np.zeros(features)
        self._lower = np.zeros((features, features), order="F")

    @classmethod
    def of(cls, count: int, mean: np.ndarray, scatter: np.ndarray) -> "Moments":
        """Moments from their parts, as another host sent them."""
        moments = cls(len(mean))
        moments.count, moments.mean = int(count), np.array(mean, np.float64)
        moments._lower = np.array(scatter, np.float64, order="F")
        return moments

    def add(self, rows: np.ndarray) -> "Moments":
        """These moments, with rows (N, D) of any float type added; N may be 0. Raises MomentsError on NaN, infinity."""
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise MomentsError(f"features {rows.shape}; expected (N, {len(self.mean)})")
        for start in range(0, len(rows), _ROWS):
            self._add_chunk(np.asarray(rows[start : start + _ROWS], np.float64))
        return self

    def merge(self, other: "Moments") -> "Moments":
        """These moments, with all rows of `other` added; `other` stays as it is."""
        if len(other.mean) != len(self.mean):
            raise MomentsError(f"moments of {len(other.mean)} features cannot join those of {len(self.mean)}")
        self._lower += other._lower
        self._accumulate(self._join(other.count, other.mean)[None])
        return self

    def scatter(self) -> NDArray[np.float64]:
        """The scatter matrix (D, D), symmetric to the last bit."""
        return np.tril(self._lower) + np.tril(self._lower, -1).T

    def covariance(self) -> NDArray[np.float64]:
        """Scatter / (count - 1), (D, D). Raises MomentsError below two rows."""
        if self.count < 2:
            raise MomentsError(f"{self.count} images have no covariance; give at least 2, and for FID thousands")
        return self.scatter() / (self.count - 1)

    def _add_chunk(self, rows: NDArray[np.float64]) -> None:
        mean = rows.mean(axis=0)
        if not np.isfinite(mean).all():
            broken = np.flatnonzero(~np.isfinite(rows).all(axis=1)) + self.count
            raise MomentsError(f"features of image {broken[0]}, and {len(broken) - 1} after it, hold NaN or infinity")
        centred = np.empty((len(rows) + 1, len(mean)))
        np.subtract(rows, mean, out=centred[:-1])
        centred[-1] = self._join(len(rows), mean)
        self._accumulate(centred)

    def _join(self, count: int, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move count and mean on; return the one row by which the scatter grows beyond the two parts' own."""
        total = self.count + count
        difference = mean - self.mean
        row = difference * np.sqrt(self.count * count / max(total, 1))
        self.mean = self.mean + difference * (count / max(total, 1))
        self.count = total
        return row

    def _accumulate(self, rows: NDArray[np.float64]) -> None:
        # One triangle only, into the matrix in place: half the work of a plain product.
        self._lower = blas.dsyrk(1.0, rows.T, beta=1.0, c=self._lower, lower=1, overwrite_c=1)


def moments_of(chunks: Iterable[np.ndarray], features: int) -> Moments:
    """Moments of all rows of all chunks, each (N, features)."""
    moments = Moments(features)
    for chunk in chunks:
        moments.add(chunk)
    return moments
