"""Why a law should not be believed, for the first thing that a reader sees: its cautions, and what other metrics say.

What one metric's values say of themselves is `cautions`; here they are held against residuals and other metrics.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy.special import fdtrc

from dit_grid.analysis.fits.usable import is_usable
from dit_grid.analysis.laws.scaling import ScalingLaw
from dit_grid.analysis.results.metric_names import metric_named

BY_PATCH = 0.05
"""Probability, under one line for all patch sizes, of means of residuals as far apart, below which that is said."""

AT_CHANCE = "learned nothing"
"""What the caution of a metric at chance says."""


def doubts(law: ScalingLaw, laws: Mapping[str, ScalingLaw]) -> tuple[str, ...]:
    """A line for each reason not to take the law at its word, the weightiest first; none where none was found.

    Looked for: averages that outlive their run, values at chance, no effect, too few samples, residuals that go by
    patch size, a metric that gets no better with size, other metrics that contradict, and choices that were ties.
    `laws` are those of all metrics of the same runs, by metric.
    """
    own = [*law.cautions, *([law.sample_size] if law.sample_size else [])]
    ties = (f"nothing but order decided: {choice}" for choice in law.choices)
    return (*own, *_by_patch(law), *_not_better(law), *_others(law, laws), *ties)


def _by_patch(law: ScalingLaw) -> Iterator[str]:
    """One-way analysis of variance of the residuals (of ln value where the law is one of logs) by patch size."""
    if law.fit is None:
        return
    (x,) = law.fit.law.predictors
    rows = law.points[is_usable(law.points["value"], law.fit.law.log_y) & law.points[x].notna()]
    value = rows["value"].to_numpy(float)
    residual = (np.log(value) if law.fit.law.log_y else value) - law.fit.law.mean(law.fit.theta, rows)
    groups = {int(patch): residual[(rows["patch"] == patch).to_numpy()] for patch in sorted(set(rows["patch"]))}
    between, within = len(groups) - 1, len(residual) - len(groups)
    if between < 1 or within < 1 or min(map(len, groups.values())) < 2:
        return
    inside = sum(float(((part - part.mean()) ** 2).sum()) for part in groups.values())
    among = sum(len(part) * float(part.mean() - residual.mean()) ** 2 for part in groups.values())
    chance = float(fdtrc(between, within, among / between / (inside / within))) if inside else 0.0
    if chance < BY_PATCH and among:
        off = ", ".join(f"patch {patch} {_off(part.mean(), law.fit.law.log_y)}" for patch, part in groups.items())
        yield (
            f"residuals go by patch size ({off}; by chance in {100 * chance:.2g} % of grids): "
            f"one line in {'compute' if 'gmacs' in x else x} does not hold for all patch sizes"
        )


def _off(mean: float, logs: bool) -> str:
    return f"at ×{np.exp(mean):.2f} of the line" if logs else f"{mean:+.3g} off the line"


def _not_better(law: ScalingLaw) -> Iterator[str]:
    broken = [str(patch) for patch, good in law.monotone.items() if not good and patch]
    if broken:
        yield f"{law.metric} does not get better with every size at patch {', '.join(broken)}"


def _others(law: ScalingLaw, laws: Mapping[str, ScalingLaw]) -> Iterator[str]:
    """What other metrics of the same runs say: values at chance, or a clear effect of compute the other way."""
    gains = _gains(law)
    for name, other in ((name, other) for name, other in laws.items() if name != law.metric):
        yield from (f"another metric disagrees: {said}" for said in other.cautions if AT_CHANCE in said)
        if gains and _gains(other) == -gains:
            better = "better" if gains > 0 else "worse"
            label = metric_named(name).label
            yield f"metrics disagree: with compute {law.metric} gets clearly {better}, {label} clearly the opposite"


def _gains(law: ScalingLaw) -> int:
    """1 where compute clearly makes the metric better, -1 where clearly worse, 0 where the interval holds no effect."""
    if law.fit is None:
        return 0
    effect = law.fit.params["exponent" if "exponent" in law.fit.params else "slope"]
    if not effect.low * effect.high > 0:
        return 0
    return int(np.sign(effect.value)) * (-1 if metric_named(law.metric).lower_is_better else 1)
