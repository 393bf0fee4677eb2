"""A metric: how far the mean brightness of samples is from that of the data's images."""

import numpy as np

from dit_grid.experiments.metrics.dataset_metrics import Metric


def ink_error(dataset):
    """The metric for samples (N, H, W, C) in [-1, 1] of a dataset; their labels do not matter."""
    mean = float(dataset.all().images.mean())
    return Metric(
        "ink_error", reference=dataset.name, reference_sha256=dataset.fingerprint, features="", features_sha256="",
        score=lambda samples, labels: abs(float(np.mean(samples)) - mean),
    )  # fmt: skip


ink_error.better, ink_error.scale, ink_error.label = "lower", "log", "Error of mean brightness"
