"""Which metrics score samples of a dataset, and where each number comes from.

Sampling, scheduling and storing are left to the caller; a metric sees finished samples and their labels.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from dit_grid.experiments.data.dataset import Dataset
from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.metrics import digits_classifier, digits_features
from dit_grid.model.entry_points import loaded, registered

Score = Callable[[np.ndarray, np.ndarray], float]
"""From samples (N, H, W, C) in [-1, 1] and the labels (N,) they were asked for to a number."""


class SampleError(ValueError):
    """Samples that cannot be scored; the message says how many, which, and why."""


@dataclass(frozen=True)
class Metric:
    """One number for a set of samples, with its provenance: the columns of the `evals` table of the same names."""

    name: str
    reference: str
    reference_sha256: str
    features: str
    features_sha256: str
    score: Score


def metrics_for(dataset: Dataset) -> tuple[Metric, ...]:
    """The metrics defined for samples of `dataset`, cheapest statistics first; nothing is computed yet.

    Raises SampleError for a dataset that has none.
    """
    makers = METRICS_OF.get(dataset.name)
    if makers is None:
        raise SampleError(f"no metric for dataset {dataset.name!r}; there are some for {', '.join(sorted(METRICS_OF))}")
    return makers(dataset)


def metrics_named(names: Iterable[str], dataset: Dataset) -> dict[str, Metric]:
    """Those metrics of samples of `dataset`: its own first, else of the entry points `dit_grid.metrics`.

    What is registered is a function of the dataset that returns a Metric. Raises SampleError for one that is neither,
    and EntryPointError for one that cannot be imported.
    """
    own = {metric.name: metric for metric in metrics_for(dataset)} if dataset.name in METRICS_OF else {}
    found = {}
    for name in names:
        if name not in own and name not in registered("metrics"):
            raise SampleError(f"no metric {name!r} for dataset {dataset.name!r}; there are {', '.join(own) or 'none'}")
        found[name] = own[name] if name in own else loaded("metrics", name)(dataset)
    return found


def check_samples(samples: np.ndarray, labels: np.ndarray, shape: tuple[int, int, int]) -> None:
    """Raise SampleError unless samples are (N, *shape), finite and as many as labels."""
    if samples.shape[1:] != shape or len(samples) != len(labels) or not len(labels):
        raise SampleError(f"samples {samples.shape} with labels {labels.shape}; expected (N, {shape}) and (N,), N > 0")
    broken = int(np.count_nonzero(~np.isfinite(samples).reshape(len(samples), -1).all(axis=1)))
    if broken:
        raise SampleError(
            f"{broken} of {len(samples)} samples hold NaN or infinity; did the training diverge? nothing is scored"
        )


def _digits_metrics(dataset: Dataset) -> tuple[Metric, ...]:
    def metric(name: str, reference: str, features: str, features_sha256: str, score: Score) -> Metric:
        def of_checked(samples: np.ndarray, labels: np.ndarray) -> float:
            check_samples(samples, labels, dataset.shape)
            return score(samples, labels)

        return Metric(name, reference, dataset.fingerprint, features, features_sha256, of_checked)

    classifier = digits_classifier.CLASSIFIER_NAME, digits_classifier.classifier_sha256()
    convolutions = digits_features.FEATURES_NAME, digits_features.extractor_sha256()
    return (
        metric("fd_conv", "digits-all", *convolutions, _convolution_distance),
        metric("fd_classifier", "digits-all", *classifier, _classifier_distance),
        metric("accuracy", "digits-train", *classifier, digits_classifier.accuracy),
    )


def _convolution_distance(samples: np.ndarray, _: np.ndarray) -> float:
    if len(samples) < digits_features.FEATURES:
        warnings.warn(
            f"{len(samples)} samples for {digits_features.FEATURES} features: their covariance is singular and "
            "the distance far too large; use at least ten times as many",
            stacklevel=3,
        )
    return digits_features.digits_distance(samples).value


def _classifier_distance(samples: np.ndarray, _: np.ndarray) -> float:
    return digits_classifier.classifier_distance(samples).value


def _captioned_digits_metrics(_: Dataset) -> tuple[Metric, ...]:
    """The digits' own metrics, for the digits that the captions name."""
    from dit_grid.experiments.data.captioned_digits import digit_of  # its encoder imports JAX

    def of_captions(metric: Metric) -> Metric:
        return replace(metric, score=lambda samples, labels: metric.score(samples, digit_of(labels)))

    return tuple(map(of_captions, _digits_metrics(digits())))


METRICS_OF: dict[str, Callable[[Dataset], tuple[Metric, ...]]] = {
    "digits": _digits_metrics,
    "captioned-digits": _captioned_digits_metrics,
}
"""What makes the metrics of each dataset, by its name."""
