"""The digits metric reproduces its golden values and treats real digits as real, however they are stored."""

import numpy as np
import pytest

from dit_grid.experiments.data.digits import digits, to_ink
from dit_grid.experiments.metrics.digits_features import digits_distance, features
from dit_grid.experiments.metrics.frechet import frechet_distance


def box_blur(x):
    return sum(np.roll(x, (i, j), axis=(1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9


def pair_averages(x):
    return np.concatenate([(x[0:448:2] + x[1:448:2]) / 2, x[448:]])


def noise(strength, seed):
    return lambda x, y: np.clip(x + strength * np.random.default_rng(seed).standard_normal(x.shape), 0, 16)


CHANGES = {
    "none": lambda x, y: x,
    "noise1": noise(1, 1),
    "noise2": noise(2, 1),
    "noise4": noise(4, 1),
    "shift1": lambda x, y: np.roll(x, 1, axis=2),
    "shift2": lambda x, y: np.roll(x, 2, axis=2),
    "flipud": lambda x, y: x[:, ::-1],
    "invert": lambda x, y: 16 - x,
    "drop_class0": lambda x, y: x[y >= 1],
    "drop_0to4": lambda x, y: x[y >= 5],
    "box_blur": lambda x, y: box_blur(x),
    "half_mean_pairs": lambda x, y: pair_averages(x),
}


def found_features(ink):
    return features((ink / 8 - 1)[..., None])


def test_features_are_the_golden_ones(golden):
    known = golden("digits_fd")
    found = features(digits().all().images)

    # Printed to 16 digits; sums of up to 144 products in float64.
    np.testing.assert_allclose(found[0, :6], known["features_image0_head"], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found[1796, :6], known["features_image1796_head"], rtol=1e-12, atol=1e-14)
    assert found.mean() == pytest.approx(known["features_mean"], rel=1e-12)


@pytest.mark.parametrize("name", CHANGES)
def test_distances_of_damaged_digits_are_the_golden_ones(name, golden):
    known = golden("digits_fd")
    images, labels = digits().all()
    order = np.random.default_rng(known["split_seed"]).permutation(len(labels))
    ink = to_ink(images)[..., 0]
    reference = found_features(ink[order[:898]])
    changed = found_features(CHANGES[name](ink[order[898:]], labels[order[898:]]))

    found = frechet_distance(
        changed.mean(axis=0), np.cov(changed, rowvar=False), reference.mean(axis=0), np.cov(reference, rowvar=False)
    )

    assert np.trace(np.cov(reference, rowvar=False)) == pytest.approx(known["trace_reference"], rel=1e-12)
    assert found.value == pytest.approx(known["fd"][name], rel=1e-6)  # the golden file's own tolerance


def test_all_real_digits_are_at_distance_zero_even_after_saving_them_coarsely():
    real = digits().all().images
    stored = np.clip(real + np.random.default_rng(0).uniform(-0.06, 0.06, real.shape), -1, 1)  # under half a level

    assert abs(digits_distance(real).value) < 1e-8
    assert digits_distance(stored) == digits_distance(real)


def test_more_noise_never_scores_better():
    real = digits().all().images
    draw = np.random.default_rng(3).standard_normal(real.shape)
    scores = [digits_distance(real + strength * draw).value for strength in (0, 0.125, 0.25, 0.5, 1.0)]
    assert scores == sorted(scores)


def test_the_mean_and_covariance_of_pixels_alone_score_worse_than_real_digits():
    flat = digits().all().images.reshape(-1, 64)
    lookalikes = np.random.default_rng(0).multivariate_normal(flat.mean(axis=0), np.cov(flat, rowvar=False), len(flat))
    # Real digits drawn anew score 0.33 ± 0.04 at this number.
    assert digits_distance(lookalikes.reshape(-1, 8, 8, 1)).value > 2
