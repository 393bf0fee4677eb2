"""Forms of scaling laws as functions of centred logs, with their derivatives and the priors of their parameters.

What is here is the part that compute brings down, R, of ln y = c + ln(e + (1 - e) exp(R)); R is 0 at the reference row,
so that e is the floor's share of what the law says there. Levels, floors and misfit belong to `posterior`. Every
predictor enters as ln(x / x_reference), so units change nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Rate = tuple[np.ndarray, np.ndarray]
"""R of shape (batch, rows), and its derivatives by the parameters, (batch, rows, parameters)."""

Law = Callable[[np.ndarray, np.ndarray], Rate]

EXTRA_SD, EXTRA_DRIFT_SD = 0.3, 0.05
"""Prior sds of an extra column's exponent, which may have either sign, and of its drift."""

PER_SIZE_SD = 0.5
"""Prior sd of the exponent of compute per parameter (tokens an image): about that of any compute, not about none."""


@dataclass(frozen=True)
class Form:
    """A form: R and dR/dθ from θ (batch, p) and centred logs Z (rows, axes), and a normal prior of θ.

    `mean` and `sd` have p entries. The first `exponents` are logarithms of exponents; signed ones stand as they are.
    """

    name: str
    rate: Law
    mean: np.ndarray
    sd: np.ndarray
    exponents: int = 1


def power(theta: np.ndarray, z: np.ndarray) -> Rate:
    """R = -Σ a_k z_k with a_k = exp(θ_k): a power law in every axis of z."""
    a = np.exp(theta)
    grad = -a[:, None, :] * z[None]
    return grad.sum(-1), grad


def bent(theta: np.ndarray, z: np.ndarray) -> Rate:
    """R = -a z - q z² along one axis: a power law whose local exponent drifts with scale, a = exp(θ_0), q = θ_1."""
    a, square = np.exp(theta[:, :1]), z[:, 0] ** 2
    grad = np.stack([-a * z[:, 0], np.broadcast_to(-square, (len(theta), len(z)))], -1)
    return grad[..., 0] + theta[:, 1:2] * grad[..., 1], grad


def interaction(theta: np.ndarray, z: np.ndarray) -> Rate:
    """R = -a z_0 - b z_1 - g z_0 z_1: the exponent of each axis drifts with the other; g = θ_2 has a sign."""
    r, grad = power(theta[:, :2], z[:, :2])
    product = np.broadcast_to(-z[:, 0] * z[:, 1], r.shape)
    return r + theta[:, 2:3] * product, np.concatenate([grad, product[..., None]], -1)


def additive(theta: np.ndarray, z: np.ndarray) -> Rate:
    """R = ln(w exp(-a z_0) + (1 - w) exp(-b z_1)), θ = (ln a, ln b, logit w): Hoffmann et al. 2022 (2203.15556)."""
    a, b, w = np.exp(theta[:, :1]), np.exp(theta[:, 1:2]), 1 / (1 + np.exp(-theta[:, 2:3]))
    first, second = w * np.exp(-a * z[:, 0]), (1 - w) * np.exp(-b * z[:, 1])
    total = first + second
    grad = [-a * z[:, 0] * first, -b * z[:, 1] * second, (1 - w) * first - w * second]
    return np.log(total), np.stack(grad, -1) / total[..., None]


def farseer(theta: np.ndarray, z: np.ndarray) -> Rate:
    """The additive law whose exponent of data drifts with size, b + g z_0: after Farseer (2506.10972)."""
    a, b, w = np.exp(theta[:, :1]), np.exp(theta[:, 1:2]), 1 / (1 + np.exp(-theta[:, 2:3]))
    drift = theta[:, 3:4]
    first = w * np.exp(-a * z[:, 0])
    second = (1 - w) * np.exp(-(b + drift * z[:, 0]) * z[:, 1])
    total = first + second
    grad = [-a * z[:, 0] * first, -b * z[:, 1] * second, (1 - w) * first - w * second, -z[:, 0] * z[:, 1] * second]
    return np.log(total), np.stack(grad, -1) / total[..., None]


def delayed(theta: np.ndarray, z: np.ndarray) -> Rate:
    """R = -a ln((x + x0) / (x_ref + x0)): a power law that starts late, θ = (ln a, ln x0 / x_ref)."""
    a, late = np.exp(theta[:, :1]), theta[:, 1:2]
    shifted = np.logaddexp(z[:, 0], late) - np.logaddexp(0, late)
    by_late = np.exp(late - np.logaddexp(z[:, 0], late)) - np.exp(late - np.logaddexp(0, late))
    return -a * shifted, np.stack([-a * shifted, -a * by_late], -1)


def repeated(theta: np.ndarray, z: np.ndarray) -> Rate:
    """The additive law in data that count less when repeated; z is ln size, ln data and ln unique data about the row.

    D' = U (1 + r (1 - exp(-(D/U - 1) / r))), r = exp(θ_3): Muennighoff et al. 2023 (2305.16264). The third axis is
    ln U minus ln D, uncentred, so that z_2 = 0 means no repetition.
    """
    half = np.exp(theta[:, 3:4])
    repeats = np.maximum(np.exp(-z[:, 2]) - 1, 0.0)
    gone = np.exp(-repeats / half)
    seen = 1 + half * (1 - gone)
    lost = z[:, 2] + np.log(seen)  # ln D' - ln D
    by_half = half * (1 - gone - repeats / half * gone) / seen
    a, b, w = np.exp(theta[:, :1]), np.exp(theta[:, 1:2]), 1 / (1 + np.exp(-theta[:, 2:3]))
    effective = z[:, 1] + lost
    first, second = w * np.exp(-a * z[:, 0]), (1 - w) * np.exp(-b * effective)
    total = first + second
    grad = [-a * z[:, 0] * first, -b * effective * second, (1 - w) * first - w * second, -b * by_half * second]
    return np.log(total), np.stack(grad, -1) / total[..., None]


def with_extras(form: Form, exponents: Sequence[tuple[float, float]]) -> Form:
    """The form times a signed, bent power of each of the last axes of z, an exponent's mean and sd each; or itself."""
    count = len(exponents)
    if not count:
        return form
    own = len(form.mean)

    def rate(theta: np.ndarray, z: np.ndarray) -> Rate:
        r, grad = form.rate(theta[:, :own], z[:, :-count])
        extra = np.concatenate([-z[:, -count:], -(z[:, -count:] ** 2)], 1)
        fixed = np.broadcast_to(extra, (len(theta), *extra.shape))
        return r + theta[:, own:] @ extra.T, np.concatenate([grad, fixed], -1)

    mean, sd = np.transpose(exponents)
    none, drift = np.zeros(count), np.full(count, EXTRA_DRIFT_SD)
    return Form(
        form.name, rate, np.concatenate([form.mean, mean, none]), np.concatenate([form.sd, sd, drift]), form.exponents
    )
