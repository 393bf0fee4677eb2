"""What each metric is called on an axis and which direction is better.

How a metric is measured is `dit_grid.experiments`; a metric that is not listed here still plots, under its own name.
"""

from collections.abc import Collection
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
        Metric("fd", "Fréchet distance", log=True),
        Metric("kid", "KID"),
        Metric("cmmd", "CMMD"),
        Metric("density", "Density", lower_is_better=False),
        Metric("coverage", "Coverage", lower_is_better=False),
        Metric("inception_score", "Inception Score", lower_is_better=False),
        Metric("fd_classifier", "Fréchet distance (classifier)", log=True),
        Metric("fd_conv", "Fréchet distance, 100·FD / tr Σ", log=True),
        Metric("accuracy", "Accuracy of samples", lower_is_better=False),
        Metric("heldout_loss", "Held-out loss", log=True),
    )
}


MAIN = ("fid", "fd_conv", "fd", "heldout_loss", "fd_classifier", "sfid", "cmmd", "kid")
"""Metrics in the order in which a law is fitted to them: distances of images first, the most usual ones before."""


def metric_named(name: str) -> Metric:
    """The record of a metric; an unknown name is its own label, and lower is taken to be better."""
    return _KNOWN.get(name, Metric(name, name))


def main_metric(present: Collection[str]) -> str | None:
    """The metric of those measured that a scaling law is fitted to: the first of MAIN, else of any; None of none.

    So whatever was measured has a law, own features' `fd` and metrics of imported runs included.
    """
    return next((name for name in (*MAIN, *sorted(present)) if name in present), None)
