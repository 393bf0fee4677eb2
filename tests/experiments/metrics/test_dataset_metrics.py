"""Metrics say where they come from, and refuse samples that cannot be scored."""

import numpy as np
import pytest

from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.metrics.dataset_metrics import SampleError, metrics_for


def test_digits_have_a_distance_and_an_accuracy_with_provenance():
    metrics = metrics_for(digits())
    real = digits().heldout()

    assert [m.name for m in metrics] == ["fd_conv", "fd_classifier", "accuracy"]
    for metric in metrics:
        assert len(metric.reference_sha256) == len(metric.features_sha256) == 64
        assert metric.score(*real) == metric.score(*real)  # same samples, same number, bit for bit


@pytest.mark.parametrize("index", [0, 1, 2])
def test_broken_samples_are_refused_with_their_number(index):
    images, labels = digits().heldout()
    images[[3, 7], 0, 0, 0] = np.nan
    with pytest.raises(SampleError, match="2 of 297 samples hold NaN"):
        metrics_for(digits())[index].score(images, labels)


def test_samples_of_the_wrong_shape_are_refused():
    with pytest.raises(SampleError, match=r"samples \(4, 16, 16, 1\) with labels \(4,\)"):
        metrics_for(digits())[0].score(np.zeros((4, 16, 16, 1)), np.zeros(4))


def test_fewer_samples_than_features_warn_with_the_reason():
    images, labels = digits().heldout()
    with pytest.warns(UserWarning, match="40 samples for 64 features: their covariance is singular"):
        metrics_for(digits())[0].score(images[:40], labels[:40])


def test_a_dataset_without_metrics_says_which_have_some():
    class Other:
        name = "latents"

    with pytest.raises(SampleError, match=r"no metric for dataset 'latents'; there are some for .*digits"):
        metrics_for(Other())  # type: ignore[arg-type]
