"""Forms mixed by how well each predicts forward, and the quantiles of what they say together.

A form's weight is the probability, under it, of the dearer rows given the cheaper ones: the ratio of its evidence on
all rows to that on the cheaper ones. So a form that fits the bulk and misses the end loses, and no form is chosen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from dit_grid.analysis.tables import forms
from dit_grid.analysis.tables.axes import APART, Axes
from dit_grid.analysis.tables.forms import Form
from dit_grid.analysis.tables.posterior import Posterior, Rows, posterior
from dit_grid.analysis.tables.priors import BEND_SD, DRIFT_SD, Prior

CHEAPER = 0.6
"""Share of the rows that a form is given before it is judged on the rest."""

FEWEST = 6
"""Rows from which on forms are judged forward; with fewer by all the rows."""

LEVEL_SD = 1.0
"""Prior sd of the level about the dearest row's ln y: wide on purpose."""

NEGLIGIBLE = 1e-6

BISECTIONS = 36
"""Halvings of twenty standard deviations, to less than a millionth of one."""


class Parts(NamedTuple):
    """Components of a mixture: weight, place of the form, floor share, and mean and sd of ln y, (components, rows)."""

    weight: np.ndarray
    form: np.ndarray
    floor: np.ndarray
    mean: np.ndarray
    sd: np.ndarray


@dataclass(frozen=True)
class Mixture:
    """What each form says (`posteriors`), with what weight, and ln y of the dearest row, about which they are.

    `back` takes what they say to y: `exp`, but of a metric whose logarithm is what falls (`logarithms`).
    """

    weights: Mapping[str, float]
    posteriors: Mapping[str, Posterior]
    centre: float
    back: Callable[[np.ndarray], np.ndarray] = np.exp

    def parts(self) -> "Parts":
        """The components that matter, weights adding up to 1."""
        each = list(self.posteriors.items())
        weight = np.concatenate([self.weights[name] * np.exp(p.log_weight - p.log_evidence) for name, p in each])
        form = np.concatenate([np.full(len(p.floor), place) for place, (_, p) in enumerate(each)])
        floor, mean, sd = (np.concatenate([getattr(p, what) for _, p in each]) for what in ("floor", "mean", "sd"))
        keep = weight > NEGLIGIBLE * weight.max()
        return Parts(weight[keep] / weight[keep].sum(), form[keep], floor[keep], mean[keep] + self.centre, sd[keep])

    def quantiles(self, probabilities: tuple[float, ...]) -> np.ndarray:
        """Quantiles of y of one new run, (probabilities, rows asked)."""
        parts = self.parts()
        return self.back(np.array([quantile(parts.weight, parts.mean, parts.sd, p) for p in probabilities]))


def mix(
    t: np.ndarray, axes: Axes, prior: Prior, seen_levels: np.ndarray, asked_levels: np.ndarray, group_sd: float,
    back: Callable[[np.ndarray], np.ndarray] = np.exp,
) -> Mixture:  # fmt: skip
    """The mixture given ln y `t`; `*_levels` (rows, 1 + groups) is a column of ones and one of each group's rows."""
    compute = axes.named["compute"][0]
    centre = float(t[np.argmax(compute)])
    sd = np.array([LEVEL_SD, *[group_sd] * (seen_levels.shape[1] - 1)])
    place = places(axes)
    cheaper = np.sort(np.argsort(compute, kind="stable")[: int(np.ceil(CHEAPER * len(t)))])
    fits, scores = {}, {}
    for form, z in forms_for(axes, prior):
        seen = Rows(z[0], place[0], seen_levels)
        asked = Rows(z[1], place[1], asked_levels)
        fits[form.name] = posterior(form, t - centre, seen, asked, prior, sd)
        scores[form.name] = fits[form.name].log_evidence
        if len(t) >= FEWEST:
            part = Rows(seen.z[cheaper], seen.place[cheaper], seen.levels[cheaper])
            first = Rows(asked.z[:1], asked.place[:1], asked.levels[:1])
            of_part = posterior(form, (t - centre)[cheaper], part, first, prior, sd, fits[form.name].theta)
            scores[form.name] -= of_part.log_evidence
    top = max(scores.values())
    raw = {name: float(np.exp(score - top)) for name, score in scores.items()}
    return Mixture({name: w / sum(raw.values()) for name, w in raw.items()}, fits, centre, back)


def forms_for(axes: Axes, prior: Prior) -> list[tuple[Form, tuple[np.ndarray, np.ndarray]]]:
    """The forms that these axes allow, each with its own axes of seen and of asked rows."""
    a, a_sd = prior.exponent
    extras, per_size = axes.extras, (float(np.exp(a)), forms.PER_SIZE_SD)
    exponents = [per_size if name == axes.per_size else (0.0, forms.EXTRA_SD) for name in extras]

    def form(name: str, rate: forms.Law, mean: list[float], sd: list[float], *on: str) -> tuple:
        z = axes.stack(*on, *extras)
        if rate is forms.repeated and axes.repeats is not None:
            first, second = (np.column_stack([b[:, :2], r, b[:, 2:]]) for b, r in zip(z, axes.repeats, strict=True))
            z = first, second
        positive = min(len(on), len(mean))
        return forms.with_extras(Form(name, rate, np.array(mean), np.array(sd), positive), exponents), z

    found = [form("power of compute", forms.power, [a], [a_sd], "compute")]
    if "size" not in axes.named:
        late = float(axes.named["compute"][0].min())
        return [
            *found,
            form("bent power of compute", forms.bent, [a, 0], [a_sd, BEND_SD], "compute"),
            form("delayed power of compute", forms.delayed, [a, late], [a_sd, 1.5], "compute"),
        ]
    both = ("size", "data")
    found += [
        form("powers of size and data", forms.power, [a, a], [a_sd, a_sd], *both),
        form("powers with interaction", forms.interaction, [a, a, 0], [a_sd, a_sd, DRIFT_SD], *both),
        form("sum of powers", forms.additive, [a, a, 0], [a_sd, a_sd, 1.5], *both),
        form("sum, exponent drifting", forms.farseer, [a, a, 0, 0], [a_sd, a_sd, 1.5, DRIFT_SD], *both),
    ]
    if axes.repeats is not None and np.ptp(axes.repeats[0]) > APART:
        mean, sd = [a, a, 0, np.log(8)], [a_sd, a_sd, 1.5, 1.0]
        found.append(form("sum, repeated data", forms.repeated, mean, sd, *both))
    return found


def places(axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Where rows are for the misfit: every axis that varies on its own."""
    main = ("size", "data") if "size" in axes.named else ("compute",)
    seen, asked = axes.stack(*main, *axes.extras)
    if axes.repeats is None:
        return seen, asked
    return np.column_stack([seen, axes.repeats[0]]), np.column_stack([asked, axes.repeats[1]])


def quantile(weight: np.ndarray, mean: np.ndarray, sd: np.ndarray, p: float) -> np.ndarray:
    """Where a mixture of normals has probability p below, an asked row each, by bisection."""
    low, high = (mean - 10 * sd).min(0), (mean + 10 * sd).max(0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = weight @ ndtr((middle - mean) / sd) < p
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2
