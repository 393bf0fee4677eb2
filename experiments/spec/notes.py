"""What a spec says without a mistake and is yet seldom meant: names that nothing uses, averages of initial weights.

Every note is one line for the user. What is wrong is `validate`'s and `expand`'s, and is refused.
"""

from collections.abc import Iterable, Mapping
from functools import cache

from dit_grid.experiments.spec.run import EmaSpec, RunSpec
from dit_grid.experiments.spec.source import Located
from dit_grid.experiments.spec.validate import nearest
from dit_grid.model.config import SIZES

NOTED_SHARE = 0.05
"""Share of the initial weights in the last average from which it is said: a run of less than three memories."""

_RAMP = 1000
"""Updates after which the ramp of a warm-up, (1 + t) / (10 + t), has left 1e-21 of the initial weights."""


def initial_share(ema: EmaSpec, steps: int) -> float:
    """The share of the initial weights in the average after so many updates: the product of all decays."""
    if not ema.warmup:
        return float(ema.decay**steps)
    share = 1.0
    for step in range(1, min(steps, _RAMP) + 1):
        share *= min(ema.decay, (1 + step) / (10 + step))
    return float(share * ema.decay ** max(steps - _RAMP, 0))


@cache
def average_note(ema: EmaSpec, steps: int) -> str:
    """What is to be said of an average over so many updates, or nothing; its memory is 1 / (1 - decay) updates."""
    share = initial_share(ema, steps)
    if share < NOTED_SHARE:
        return ""
    return (
        f"decay {ema.decay:g} remembers {1 / (1 - ema.decay):,.0f} updates and the run has {steps:,}: "
        f"{100 * share:.3g} % of the average are the initial weights; set train.ema.warmup, a smaller decay, or "
        "`weights: raw` in evaluate.settings"
    )


def average_notes(file: str, runs: Iterable[RunSpec]) -> list[str]:
    """A line for each average that is measured and holds its initial weights, with the models that it is of."""
    models: dict[str, list[str]] = {}
    for run in runs:
        said = average_note(run.train.ema, run.train.steps)
        if said and any(setting.weights == "ema" for setting in run.evaluate.settings):
            models.setdefault(said, []).append(run.model.name)
    return [f"{file}: train.ema: {said} ({_listed(names)})" for said, names in models.items()]


def size_notes(own: Mapping[str, Located], asked: Mapping[str, Located]) -> list[str]:
    """A line for each of the file's own sizes that no run asks for, and each built-in one that stands beside them.

    `asked` holds for each size that a run takes its shape from where it was asked for first.
    """
    unused = [name for name in own if name not in asked]
    notes = [
        f"{own[name].file}:{own[name].line}: sizes.{name}: defined, and no run has it{nearest(name, asked)}"
        for name in unused
    ]
    for name, item in asked.items():
        if own and name not in own and name in SIZES:
            depth, width, heads = SIZES[name]
            notes.append(
                f"{item.file}:{item.line}: model.size: {name!r} is not among the file's own sizes ({_listed(own)}), so "
                f"it is the paper's: width {width}, depth {depth}, heads {heads}{nearest(name, unused)}"
            )
    return notes


def _listed(names: Iterable[str], most: int = 6) -> str:
    kept = list(dict.fromkeys(names))
    return ", ".join(kept[:most]) + (f" and {len(kept) - most} more" if len(kept) > most else "")
