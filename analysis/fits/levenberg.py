"""Many nonlinear least-squares or Huber fits at once: Levenberg–Marquardt over a batch, Huber by reweighting.

What is here knows nothing of laws: a model gives means and derivatives for a batch of coefficients. One batch entry is
one refit, for example a bootstrap replicate, told apart by integer weights of the rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dit_grid.analysis.fits.result import Array

Model = Callable[[Array], tuple[Array, Array]]
"""Coefficients (batch, p) -> mean (batch, n) and its derivative (batch, p, n)."""


class Solution(NamedTuple):
    """Coefficients (batch, p), objective (batch,), and whether each entry stopped because nothing improved."""

    theta: Array
    objective: Array
    converged: NDArray[np.bool_]


def huber(residual: Array, delta: float | None) -> Array:
    """Huber's loss: r²/2 within `delta`, delta·(|r| − delta/2) beyond; without delta r²/2 (Huber 1964)."""
    if delta is None:
        return 0.5 * residual**2
    size = np.abs(residual)
    inner = np.minimum(size, delta)
    return inner * (size - 0.5 * inner)


def scale_variance(residual: Array, weights: Array, coefficients: int, delta: float | None) -> Array:
    """The factor of (JᵀWJ)⁻¹ in the covariance, (batch,): the variance of residuals, under Huber's loss of influence.

    There, with a share m of the residuals within `delta`, it is K²·Σψ²/(n − p)/m², and K = 1 + p/n·(1 − m)/m mends the
    bias that few such residuals give (Huber 1981, Robust Statistics, section 7.6). `residual`, `weights`: (batch, n).
    """
    n = weights.sum(axis=1)
    if delta is None:
        return np.einsum("bn,bn->b", weights, residual**2) / (n - coefficients)
    inside = np.maximum(np.einsum("bn,bn->b", weights, (np.abs(residual) <= delta).astype(float)), 1.0) / n
    influence = np.einsum("bn,bn->b", weights, np.clip(residual, -delta, delta) ** 2) / (n - coefficients)
    few = 1 + coefficients / n * (1 - inside) / inside
    return influence * (few / inside) ** 2


def levenberg(
    model: Model,
    start: Array,
    target: Array,
    weights: Array,
    delta: float | None = None,
    iterations: int = 300,
    tolerance: float = 1e-9,
) -> Solution:
    """Minimises the weighted sum of `huber(target − mean)` for each entry of the batch.

    Args:
        model: see `Model`; asked only for the entries that still move.
        start: (batch, p).
        target: (n,).
        weights: (batch, n), not negative; integers for resamples.
        delta: Huber's threshold; None is least squares.
        tolerance: an entry is done when three accepted steps in a row each lower its objective by less than this share.

    The step solves (JᵀWJ + λ diag JᵀWJ) d = JᵀWr with Huber's weights min(1, delta/|r|) in W (Holland & Welsch
    1977); λ falls ninefold after a step that helps and rises fourfold after one that does not.
    """
    theta, done = start.copy(), np.zeros(len(start), dtype=bool)
    final = np.full(len(start), np.inf)
    live = _Live(
        rows=np.arange(len(start)),
        theta=theta.copy(),
        weights=weights,
        measured=_measure(model, theta, target, weights, delta),
        damping=np.full(len(start), 1e-3),
        quiet=np.zeros(len(start), dtype=int),
    )
    for _ in range(iterations):
        live = _step(live, model, target, delta, tolerance)
        settled = live.quiet >= 3
        if settled.any():
            theta[live.rows[settled]], final[live.rows[settled]] = live.theta[settled], live.measured.objective[settled]
            done[live.rows[settled]] = True
            live = live.keep(~settled)
        if not len(live.rows):
            break
    theta[live.rows], final[live.rows] = live.theta, live.measured.objective
    return Solution(theta, final, done)


class _Measured(NamedTuple):
    """Objective (batch,), residuals (batch, n) and derivatives of the mean (batch, p, n) at some coefficients."""

    objective: Array
    residual: Array
    jacobian: Array


@dataclass
class _Live:
    """The entries of the batch that still move; `rows` says where each belongs, `quiet` counts idle steps."""

    rows: NDArray[np.int_]
    theta: Array
    weights: Array
    measured: _Measured
    damping: Array
    quiet: NDArray[np.int_]

    def keep(self, which: NDArray[np.bool_]) -> "_Live":
        measured = _Measured(*(field[which] for field in self.measured))
        rest = (self.damping[which], self.quiet[which])
        return _Live(self.rows[which], self.theta[which], self.weights[which], measured, *rest)


def _measure(model: Model, theta: Array, target: Array, weights: Array, delta: float | None) -> _Measured:
    mean, jacobian = model(theta)
    residual = target - mean
    return _Measured(np.einsum("bn,bn->b", weights, huber(residual, delta)), residual, jacobian)


def _step(live: _Live, model: Model, target: Array, delta: float | None, tolerance: float) -> _Live:
    """One step of every entry: taken where it lowers the objective, else the damping grows."""
    now = live.measured
    tried = live.theta + _move(now, live.weights, live.damping, delta)
    then = _measure(model, tried, target, live.weights, delta)
    better = then.objective < now.objective
    small = now.objective - then.objective <= tolerance * now.objective
    stuck = live.damping > 1e6  # no direction helps any more
    idle = np.where(small & (better | stuck), live.quiet + 1, np.where(better, 0, live.quiet))
    return _Live(
        rows=live.rows,
        theta=np.where(better[:, None], tried, live.theta),
        weights=live.weights,
        measured=_Measured(*(_choose(better, new, old) for new, old in zip(then, now, strict=True))),
        damping=np.clip(np.where(better, live.damping / 9, live.damping * 4), 1e-12, 1e12),
        quiet=idle,
    )


def _choose(which: NDArray[np.bool_], new: Array, old: Array) -> Array:
    return np.where(which.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def _move(at: _Measured, weights: Array, damping: Array, delta: float | None) -> Array:
    if delta is not None:
        weights = weights * np.minimum(1.0, delta / np.maximum(np.abs(at.residual), 1e-300))
    weighted = at.jacobian * weights[:, None, :]
    gram = weighted @ at.jacobian.transpose(0, 2, 1)
    slope = np.einsum("bpn,bn->bp", weighted, at.residual)
    scale = np.einsum("bpp->bp", gram)
    ridge = damping[:, None] * scale + 1e-12 * scale.max(axis=1, keepdims=True) + 1e-300
    move = np.linalg.solve(gram + ridge[:, :, None] * np.eye(gram.shape[1]), slope[:, :, None])[:, :, 0]
    return np.clip(move, -3.0, 3.0)  # in logarithms: no coefficient grows more than e³ in one step
