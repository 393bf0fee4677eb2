"""What each metric is called on an axis and which direction is better.

How a metric is measured is `dit_grid.experiments`; a metric that is not listed here still plots, under its own name.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How a metric reads: `label` with its unit for axes, `lower_is_better`, and whether its size spans decades."""

    name: str
    label: str
    lower_is_better: bool = True
    log: bool = False


_KNOWN = {
    m.name: m
    for m in (
        Metric("fid", "FID", log=True),
        Metric("sfid", "sFID", log=True),
        Metric("is", "Inception Score", lower_is_better=False),
        Metric("precision", "Precision", lower_is_better=False),
        Metric("recall", "Recall", lower_is_better=False),
        Metric("fd_conv", "Fréchet distance, 100·FD / tr Σ", log=True),
        Metric("accuracy", "Accuracy of samples", lower_is_better=False),
        Metric("heldout_loss", "Held-out loss", log=True),
    )
}


_OWN: dict[str, Metric] = {}
"""Metrics of people's own trainers, as the specs of the stores that were read declare them."""


def declare(specs: Iterable[object]) -> None:
    """Read how metrics of one's own are to be read from the `metrics:` of specs, given as JSON."""
    for spec in {spec for spec in specs if isinstance(spec, str) and spec}:  # imported runs have none
        for name, said in (json.loads(spec).get("metrics") or {}).items():
            _OWN[name] = Metric(name, name, said.get("better") != "higher", said.get("scale") == "log")


def metric_named(name: str) -> Metric:
    """The record of a metric; an unknown name is its own label, and lower is taken to be better."""
    return _KNOWN.get(name) or _OWN.get(name) or Metric(name, name)


def main_metric(present: Collection[str]) -> str | None:
    """The metric of those measured that a scaling law is fitted to: fid, else fd_conv, else heldout_loss.

    Else one of a trainer's own: of those that span decades, else of those where lower is better, the first by name;
    None where there is none.
    """
    own = sorted(
        map(metric_named, set(present) - set(_KNOWN)), key=lambda m: (not m.log, not m.lower_is_better, m.name)
    )
    ranked = ("fid", "fd_conv", "heldout_loss", *(metric.name for metric in own))
    return next((name for name in ranked if name in present), None)
