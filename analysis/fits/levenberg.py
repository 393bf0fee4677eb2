"""Many nonlinear least-squares or Huber fits at once: Levenberg–Marquardt over a batch, Huber by reweighting.

What is here knows nothing of laws: a model gives means and derivatives for a batch of coefficients. One batch entry is
one refit, for example a bootstrap replicate, told apart by integer weights of the rows.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dit_grid.analysis.fits.result import Array

Model = Callable[[Array], tuple[Array, Array]]
"""Coefficients (batch, p) -> mean (batch, n) and its derivative (batch, p, n)."""


class Solution(NamedTuple):
    """Coefficients (batch, p), objective (batch,), and whether each entry stopped because nothing improved."""

    theta: Array
    objective: Array
    converged: Array


def huber(residual: Array, delta: float | None) -> Array:
    """Huber's loss: r²/2 within `delta`, delta·(|r| − delta/2) beyond; without delta r²/2 (Huber 1964)."""
    if delta is None:
        return 0.5 * residual**2
    size = np.abs(residual)
    inner = np.minimum(size, delta)
    return inner * (size - 0.5 * inner)


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
    live = _Live(np.arange(len(start)), theta.copy(), weights, *_measure(model, theta, target, weights, delta))
    for _ in range(iterations):
        live = _step(live, model, target, delta, tolerance)
        settled = live.quiet >= 3
        if settled.any():
            theta[live.rows[settled]], final[live.rows[settled]] = live.theta[settled], live.objective[settled]
            done[live.rows[settled]] = True
            live = live.keep(~settled)
        if not len(live.rows):
            break
    theta[live.rows], final[live.rows] = live.theta, live.objective
    return Solution(theta, final, done)


class _Live:
    """The entries of the batch that still move."""

    def __init__(
        self,
        rows: Array,
        theta: Array,
        weights: Array,
        objective: Array,
        residual: Array,
        jacobian: Array,
        damping: Array | None = None,
        quiet: Array | None = None,
    ) -> None:
        self.rows, self.theta, self.weights = rows, theta, weights
        self.objective, self.residual, self.jacobian = objective, residual, jacobian
        self.damping = np.full(len(rows), 1e-3) if damping is None else damping
        self.quiet = np.zeros(len(rows), dtype=int) if quiet is None else quiet

    def keep(self, which: Array) -> "_Live":
        fields = (self.rows, self.theta, self.weights, self.objective, self.residual, self.jacobian)
        return _Live(*(f[which] for f in fields), self.damping[which], self.quiet[which])


def _measure(
    model: Model, theta: Array, target: Array, weights: Array, delta: float | None
) -> tuple[Array, Array, Array]:
    mean, jacobian = model(theta)
    residual = target - mean
    return np.einsum("bn,bn->b", weights, huber(residual, delta)), residual, jacobian


def _step(live: _Live, model: Model, target: Array, delta: float | None, tolerance: float) -> _Live:
    weights = live.weights
    if delta is not None:
        weights = weights * np.minimum(1.0, delta / np.maximum(np.abs(live.residual), 1e-300))
    weighted = live.jacobian * weights[:, None, :]
    gram = weighted @ live.jacobian.transpose(0, 2, 1)
    slope = np.einsum("bpn,bn->bp", weighted, live.residual)
    scale = np.einsum("bpp->bp", gram)
    ridge = live.damping[:, None] * scale + 1e-12 * scale.max(axis=1, keepdims=True) + 1e-300
    move = np.linalg.solve(gram + ridge[:, :, None] * np.eye(gram.shape[1]), slope[:, :, None])[:, :, 0]
    tried = live.theta + np.clip(move, -3.0, 3.0)  # in logarithms: no coefficient grows more than e³ in one step
    objective, residual, jacobian = _measure(model, tried, target, live.weights, delta)
    better = objective < live.objective
    gain = live.objective - objective
    small = gain <= tolerance * live.objective
    live.quiet = np.where(small & (better | (live.damping > 1e6)), live.quiet + 1, np.where(better, 0, live.quiet))
    live.damping = np.clip(np.where(better, live.damping / 9, live.damping * 4), 1e-12, 1e12)
    live.theta = np.where(better[:, None], tried, live.theta)
    live.objective = np.where(better, objective, live.objective)
    live.residual = np.where(better[:, None], residual, live.residual)
    live.jacobian = np.where(better[:, None, None], jacobian, live.jacobian)
    return live
