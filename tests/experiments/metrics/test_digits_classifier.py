"""The classifier knows digits it has not seen, and tells right labels from wrong ones."""

import numpy as np

from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.metrics.digits_classifier import accuracy, classifier_distance, predict


def test_held_out_digits_are_recognised():
    assert accuracy(*digits().heldout()) >= 0.97


def test_wrong_labels_count_as_wrong():
    images, labels = digits().heldout()
    assert accuracy(images, (labels + 1) % 10) < 0.02


def test_noise_is_recognised_no_better_than_by_chance():
    noise = np.random.default_rng(0).uniform(-1, 1, (1000, 8, 8, 1))
    labels = np.arange(1000) % 10
    assert accuracy(noise, labels) < 0.14  # chance 0.1, standard deviation 0.0095


def test_values_beyond_the_pixel_range_are_clipped():
    images = digits().heldout().images
    assert np.array_equal(predict(np.where(np.abs(images) == 1, 3 * images, images)), predict(images))


def test_the_distance_over_its_scores_sees_a_class_that_is_missing():
    images, labels = digits().all()
    assert abs(classifier_distance(images).value) < 1e-6
    assert 1e-4 < classifier_distance(images[::2]).value < 1 < classifier_distance(images[labels > 0]).value
