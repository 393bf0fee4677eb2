"""What each metric is called on an axis and which direction is better.

How a metric is measured is `dit_grid.experiments`; a metric that is not listed here still plots, under its own name.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dit_grid.model.entry_points import EntryPointError, loaded, registered


@dataclass(frozen=True)
class Metric:
    """How a metric reads: `label` with its unit for axes, `lower_is_better`, and whether its size spans decades.

    `most` is what a metric of shares cannot pass; what it lacks of that is what falls as models grow.
    """

    name: str
    label: str
    lower_is_better: bool = True
    log: bool = False
    most: float | None = None


_KNOWN = {
    m.name: m
    for m in (
        Metric("fid", "FID", log=True),
        Metric("sfid", "sFID", log=True),
        Metric("is", "Inception Score", lower_is_better=False),
        Metric("precision", "Precision", lower_is_better=False, most=1.0),
        Metric("recall", "Recall", lower_is_better=False, most=1.0),
        Metric("fd", "Fréchet distance", log=True),
        Metric("kid", "KID"),
        Metric("cmmd", "CMMD"),
        Metric("density", "Density", lower_is_better=False),
        Metric("coverage", "Coverage", lower_is_better=False, most=1.0),
        Metric("inception_score", "Inception Score", lower_is_better=False),
        Metric("fd_classifier", "Fréchet distance (classifier)", log=True),
        Metric("fd_conv", "Fréchet distance, 100·FD / tr Σ", log=True),
        Metric("accuracy", "Accuracy of samples", lower_is_better=False, most=1.0),
        Metric("heldout_loss", "Held-out loss", log=True),
    )
}


MAIN = ("fid", "fd_conv", "fd", "heldout_loss", "fd_classifier", "sfid", "cmmd", "kid")
"""Metrics in the order in which a law is fitted to them: distances of images first, the most usual ones before."""

_OWN: dict[str, Metric] = {}
"""Metrics of people's own trainers, as the specs of the stores that were read declare them."""


def declare(specs: Iterable[Mapping[str, Any]]) -> None:
    """Read how metrics of one's own are to be read from the `metrics:` of the specs of own trainers."""
    for spec in specs:
        for name, said in _declared(spec):
            _OWN[name] = Metric(name, name, said.get("better") != "higher", said.get("scale") == "log")


def _declared(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What `metrics:` says of each; specs of imported runs, which nobody checked, may hold anything there."""
    said = spec.get("metrics")
    for name, reads in said.items() if isinstance(said, dict) else ():
        if isinstance(reads, dict):
            yield name, reads


def metric_named(name: str) -> Metric:
    """The record of a metric; an unknown name is its own label, and lower is taken to be better."""
    return _KNOWN.get(name) or _OWN.get(name) or _registered(name) or Metric(name, name)


def _registered(name: str) -> Metric | None:
    """How an installed package's metric reads, by the attributes of what it registers; None where there is none."""
    if name not in registered("metrics"):
        return None
    with suppress(EntryPointError):  # numbers can be read without the package that made them
        made = loaded("metrics", name)
        better, scale = getattr(made, "better", "lower"), getattr(made, "scale", "linear")
        return Metric(name, getattr(made, "label", name), better != "higher", scale == "log")
    return None


def main_metric(present: Collection[str]) -> str | None:
    """The metric of those measured that a scaling law is fitted to: the first of MAIN, else of any; None of none.

    So whatever was measured has a law, own features' `fd` and metrics of imported runs and own trainers included. Of
    those outside MAIN the first is one that spans decades, else one where lower is better, else the first by name.
    """
    others = sorted(map(metric_named, present), key=lambda m: (not m.log, not m.lower_is_better, m.name))
    return next((name for name in (*MAIN, *(metric.name for metric in others)) if name in present), None)
