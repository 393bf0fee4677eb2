"""What a table's mixture of laws says of several rows at once: means and covariances of ln y, choice of form inside.

What is here is the moments that a choice of the next rows needs; quantiles of single rows are `mixture`.
"""

from dataclasses import dataclass

import numpy as np

from dit_grid.analysis.tables.axes import Axes
from dit_grid.analysis.tables.forms import Form
from dit_grid.analysis.tables.mixture import LEVEL_SD, forms_for, mix, places
from dit_grid.analysis.tables.posterior import JITTER, Posterior, Rows, curve, kernel, whitened
from dit_grid.analysis.tables.priors import Prior

NEGLIGIBLE = 1e-4
"""Share of the greatest weight below which a component adds nothing that a choice would see."""


@dataclass(frozen=True)
class Joint:
    """`mean` (rows,) and `covariance` (rows, rows) of the law's ln y at the rows asked; `noise` the variance of a run.

    The covariance is of what is not known (form, floor, coefficients, misfit), so more runs lessen it; noise stays.
    """

    mean: np.ndarray
    covariance: np.ndarray
    noise: float


def joint(
    t: np.ndarray, axes: Axes, prior: Prior, seen_levels: np.ndarray, asked_levels: np.ndarray, group_sd: float
) -> Joint:
    """The moments of the mixture given ln y `t`; arguments as of `mix`."""
    found = mix(t, axes, prior, seen_levels, asked_levels, group_sd)
    level_sd = np.array([LEVEL_SD, *[group_sd] * (seen_levels.shape[1] - 1)])
    place = places(axes)
    shares, means, noise = [], [], 0.0
    within = np.zeros((len(asked_levels),) * 2)
    for form, z in forms_for(axes, prior):
        post = found.posteriors[form.name]
        share = found.weights[form.name] * np.exp(post.log_weight - post.log_evidence)
        seen, asked = Rows(z[0], place[0], seen_levels), Rows(z[1], place[1], asked_levels)
        within += _within(form, post, share, seen, asked, level_sd)
        shares.append(share)
        means.append(post.mean)
        noise += float(share @ post.noise**2)
    weight, mean = np.concatenate(shares), np.concatenate(means)
    middle = weight @ mean
    between = (weight[:, None] * (mean - middle)).T @ (mean - middle)
    return Joint(middle + found.centre, within + between, noise)


def _within(
    form: Form, post: Posterior, share: np.ndarray, seen: Rows, asked: Rows, level_sd: np.ndarray
) -> np.ndarray:
    """The components' own covariances of the law and its misfit, (asked, asked), summed by their shares."""
    total = np.zeros((len(asked.place),) * 2)
    precision = np.diag(1 / np.concatenate([level_sd, form.sd]) ** 2)
    ratios = (post.misfit / post.noise).round(9)
    for ratio in np.unique(ratios):
        pick = np.flatnonzero((ratios == ratio) & (share > NEGLIGIBLE * share.max()))
        if not len(pick):
            continue
        theta, floor, noise, w = (values[pick] for values in (post.theta, post.floor, post.noise, share))
        root = np.linalg.cholesky((1 + JITTER) * np.eye(len(seen.place)) + ratio**2 * kernel(seen, seen))
        whiten = np.linalg.inv(root)
        by = curve(form, theta, seen, floor)[1]
        wj = whitened(whiten, by) / noise[:, None, None]
        spread = np.linalg.inv(np.swapaxes(wj, 1, 2) @ wj + precision)
        carried = ratio**2 * kernel(asked, seen) @ whiten.T
        slopes = curve(form, theta, asked, floor)[1] - whitened(carried @ whiten, by)
        half = np.sqrt(w)[:, None, None] * (slopes @ np.linalg.cholesky(spread))
        flat = half.transpose(1, 0, 2).reshape(len(total), -1)
        total += flat @ flat.T + float(w @ noise**2) * (ratio**2 * kernel(asked, asked) - carried @ carried.T)
    return total
