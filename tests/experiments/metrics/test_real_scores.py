"""What real images score, beside which samples are read."""

import pytest

from dit_grid.experiments.metrics.real_scores import scores_of_real_images


def test_real_digits_score_what_is_known_of_them():
    """0.57 for 1,000 digits drawn anew, and nearly every held-out digit is read right."""
    real = scores_of_real_images("digits", 1000)
    assert real["fd_conv"] == pytest.approx(0.57, abs=0.15)
    assert real["accuracy"] == pytest.approx(0.99, abs=0.011)
    assert scores_of_real_images("digits", 2000)["fd_conv"] < real["fd_conv"]


def test_of_images_that_have_no_metrics_of_their_own_nothing_is_known():
    assert scores_of_real_images("imagenet-256", 1000) == {}
