"""A form's posterior on a table: modes for a grid of floors, noises and misfits, their weights, and what they predict.

ln y = level + ln(e + (1 - e) exp R(θ, z)) + d + noise. Levels and θ are found by Levenberg-Marquardt for all floors and
noises at once, and integrated by Laplace's method; the misfit d, what the form cannot say, is a Gaussian process along
the axes (Kennedy & O'Hagan 2001). Which forms are asked and how they are mixed is `mixture`'s.
"""

from dataclasses import dataclass

import numpy as np

from dit_grid.analysis.tables.forms import Form
from dit_grid.analysis.tables.priors import RISE, Prior

STEPS = 30
"""Most steps of Levenberg-Marquardt; with centred logs and proper priors 8 are usual."""

LENGTH = 3.0
"""Length of the misfit's kernel in nats, 1.3 decades: 2 and 5 predicted held-back parts of the public tables worse."""

SETTLED = 1e-4
"""Change of twice the negative log posterior by a step, little damped, from which on a component is where it ends."""

JITTER = 1e-9


@dataclass(frozen=True)
class Rows:
    """Rows as a form sees them: `z` (rows, its axes), `place` (rows, all axes), `levels` (rows, groups + 1)."""

    z: np.ndarray
    place: np.ndarray
    levels: np.ndarray


@dataclass(frozen=True)
class Posterior:
    """A component per floor, noise and misfit: ln of evidence times prior, and normal predictions of one new run.

    `mean` and `sd` of ln y are (components, rows asked); `theta` the modes, levels first.
    """

    log_weight: np.ndarray
    floor: np.ndarray
    noise: np.ndarray
    misfit: np.ndarray
    theta: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    @property
    def log_evidence(self) -> float:
        """ln of the probability of the rows under the form, everything integrated."""
        return float(np.logaddexp.reduce(self.log_weight))


def posterior(
    form: Form, t: np.ndarray, seen: Rows, asked: Rows, prior: Prior, level_sd: np.ndarray,
    start: np.ndarray | None = None,
) -> Posterior:  # fmt: skip
    """The posterior of `form` given ln y `t`, whose levels have prior sd `level_sd` about 0, and its predictions.

    `start` has modes to look from, a component each, as `theta` of another part of the same table: only time hangs on
    it. Without them the first misfit's are sought from the prior's mean, and each other's from those before.
    """
    floor, noise = (a.ravel() for a in np.meshgrid(prior.floors, prior.noises, indexing="ij"))
    log_prior = (prior.log_floor[:, None] + prior.log_noise[None]).ravel()
    parts: list[tuple[np.ndarray, ...]] = []
    count = len(prior.ratios)
    near = [None] * count if start is None else np.split(start, count)
    for place, (ratio, log_ratio) in enumerate(zip(prior.ratios, prior.log_ratio, strict=True)):
        begin = parts[-1][1] if start is None and parts else near[place]
        parts.append(_given_ratio(form, t, seen, asked, floor, noise, ratio, level_sd, begin))
        parts[-1][0][:] += log_prior + log_ratio
    joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    misfit = np.repeat(prior.ratios, len(floor)) * np.tile(noise, count)
    return Posterior(joined[0], np.tile(floor, count), np.tile(noise, count), misfit, *joined[1:])


def kernel(a: Rows, b: Rows) -> np.ndarray:
    """Matérn 5/2 along the axes: smooth, forgotten after a few lengths; half of it is each group's own."""
    d = np.sqrt(5 * ((a.place[:, None] - b.place[None]) ** 2).sum(-1)) / LENGTH
    same = (a.levels[:, 1:] @ b.levels[:, 1:].T) if a.levels.shape[1] > 1 else 1.0
    return (1 + d + d**2 / 3) * np.exp(-d) * (0.5 + 0.5 * same)


def _given_ratio(
    form: Form, t: np.ndarray, seen: Rows, asked: Rows, floor: np.ndarray, noise: np.ndarray, ratio: float,
    level_sd: np.ndarray, start: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Log weight without the grid's prior, modes, means and sds, for one ratio of misfit to noise."""
    n = len(t)
    root = np.linalg.cholesky((1 + JITTER) * np.eye(n) + ratio**2 * kernel(seen, seen))
    whiten = np.linalg.inv(root)
    prior_mean = np.tile(np.concatenate([np.zeros(len(level_sd)), form.mean]), (len(floor), 1))
    prior_mean[:, len(level_sd) : len(level_sd) + form.exponents] += RISE * floor[:, None]
    precision = 1 / np.concatenate([level_sd, form.sd]) ** 2
    theta, cost, hessian = _modes(form, t, seen, floor, noise, whiten, prior_mean, precision, start)
    log_like = -0.5 * cost - n * np.log(noise) - np.log(np.diag(root)).sum() - 0.5 * n * np.log(2 * np.pi)
    log_volume = 0.5 * np.log(precision).sum() - 0.5 * np.linalg.slogdet(hessian)[1]
    mean, slopes = curve(form, theta, asked, floor)
    at, by = curve(form, theta, seen, floor)
    weights = ratio**2 * kernel(asked, seen) @ whiten.T  # (asked, seen), on whitened residuals
    mean = mean + (t - at) @ whiten.T @ weights.T
    slopes = slopes - whitened(weights @ whiten, by)
    variance = ((slopes @ np.linalg.inv(hessian)) * slopes).sum(-1)
    own = 1 + ratio**2 - (weights**2).sum(-1)
    variance += noise[:, None] ** 2 * np.maximum(own, 1.0)
    return log_like + log_volume, theta, mean, np.sqrt(variance)


def _modes(
    form: Form, t: np.ndarray, seen: Rows, floor: np.ndarray, noise: np.ndarray, whiten: np.ndarray,
    prior_mean: np.ndarray, precision: np.ndarray, start: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Most probable parameters, twice their negative log posterior, and the Gauss-Newton Hessian, a component each."""
    trial = prior_mean if start is None else start
    best, cost, damp = trial.copy(), np.full(len(floor), np.inf), np.full(len(floor), 1e-2)
    hessian = np.tile(np.diag(precision), (len(floor), 1, 1))
    gradient = np.zeros_like(trial)
    diagonal, left = np.eye(len(precision)), np.arange(len(floor))
    for _ in range(STEPS):
        value, by = curve(form, trial, seen, floor[left])
        r = ((t - value) @ whiten.T) / noise[left, None]
        off = trial - prior_mean[left]
        found = (r**2).sum(-1) + (off**2 * precision).sum(-1)
        gain = np.where(np.isfinite(found), np.minimum(cost[left], 1e300) - found, -np.inf)
        better = gain > 0
        at = left[better]
        wj = whitened(whiten, by[better]) / noise[at, None, None]
        turned = np.swapaxes(wj, 1, 2)
        hessian[at] = turned @ wj + np.diag(precision)
        gradient[at] = (turned @ r[better][..., None])[..., 0] - off[better] * precision
        best[at], cost[at] = trial[better], found[better]
        there = (np.abs(gain) < SETTLED) & (damp[left] < 1)
        damp[left] *= np.where(better, 0.2, 10)
        left = left[~there & (damp[left] < 1e4)]
        if not len(left):
            break
        scaled = np.diagonal(hessian[left], axis1=1, axis2=2)[:, :, None] * diagonal
        step = np.linalg.solve(hessian[left] + damp[left, None, None] * scaled, gradient[left][..., None])[..., 0]
        trial = best[left] + np.clip(step, -2, 2)
    return best, cost, hessian


def whitened(whiten: np.ndarray, by: np.ndarray) -> np.ndarray:
    """`whiten` (m, n) times each component's (n, parameters), as one product of matrices."""
    count, n, p = by.shape
    product = whiten @ by.transpose(1, 0, 2).reshape(n, count * p)
    return product.reshape(len(whiten), count, p).transpose(1, 0, 2)


def curve(form: Form, theta: np.ndarray, rows: Rows, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln y of the law, (components, rows), and its derivatives by levels and θ, (components, rows, parameters)."""
    levels = rows.levels.shape[1]
    r, by = form.rate(theta[:, levels:], rows.z)
    e = floor[:, None]
    part = (1 - e) * np.exp(np.clip(r, -60, 60))
    fixed = np.broadcast_to(rows.levels, (len(theta), *rows.levels.shape))
    share = (part / (e + part))[..., None]
    return theta[:, :levels] @ rows.levels.T + np.log(e + part), np.concatenate([fixed, share * by], -1)
