"""Scores of image sets follow from every image once, whatever the batches, and name what they were made with."""

import numpy as np
import pytest

from dit_grid.experiments.metrics.image_scores import collect, scores
from dit_grid.experiments.metrics.inception_score import inception_score
from dit_grid.experiments.metrics.neighbours import precision_recall
from dit_grid.experiments.metrics.reference import MismatchError, read_reference, write_reference
from dit_grid.experiments.networks.features import FeatureNetwork

MIX = np.random.default_rng(5).standard_normal((48, 6))


def extract(images):
    assert len(images) == 8, "one compiled shape"
    flat = np.maximum(images.reshape(len(images), -1) / 255 @ MIX, 0)
    return {"pool": flat, "spatial": flat[:, :3]}


NETWORK = FeatureNetwork("inception", "ab" * 32, "none", extract, classify=lambda rows: 4 * rows)


def images(count, seed, brightest=256):
    return np.random.default_rng(seed).integers(0, brightest, (count, 4, 4, 3), dtype=np.uint8)


def saved(path, collected):
    write_reference(path, collected.gaussian("pool"), collected.gaussian("spatial"), collected.provenance)
    return read_reference(path)


@pytest.mark.parametrize("cuts", [[], [1, 2, 3, 50], [8, 16], [0, 61]])
def test_no_image_is_dropped_or_counted_twice(cuts):
    everything = images(61, seed=0)
    found = collect(NETWORK, np.split(everything, cuts), batch=8)
    flat = np.maximum(everything.reshape(61, -1) / 255 @ MIX, 0)

    assert found.provenance.images == found.moments["pool"].count == 61
    assert found.provenance == collect(NETWORK, [everything], batch=8).provenance
    np.testing.assert_allclose(found.rows, flat, rtol=1e-6)  # float32
    np.testing.assert_allclose(found.gaussian("spatial").covariance, np.cov(flat[:, :3], rowvar=False), rtol=1e-12)


def test_the_reference_scores_zero_against_itself_and_others_more(tmp_path):
    real, dark = (collect(NETWORK, [images(400, seed=1, brightest=b)], batch=8) for b in (256, 128))
    reference = saved(tmp_path / "r.npz", real)

    own, other = (scores(NETWORK, x, reference, reference_rows=real.rows) for x in (real, dark))

    assert abs(own["fid"]) < 1e-10
    assert abs(own["sfid"]) < 1e-10
    assert (own["precision"], own["recall"]) == (1, 1)
    assert other["fid"] > other["sfid"] > 0.1
    assert (other["precision"], other["recall"]) == precision_recall(real.rows, dark.rows)
    assert other["inception_score"] == inception_score(4 * dark.rows)


def test_any_network_gives_a_distance_under_its_own_name(tmp_path):
    network = FeatureNetwork("dino", "cd" * 32, "none", lambda x: {"pool": extract(x)["pool"]})
    real = collect(network, [images(40, 1)], batch=8)
    write_reference(tmp_path / "r.npz", real.gaussian("pool"), None, real.provenance)
    assert set(scores(network, real, read_reference(tmp_path / "r.npz"))) == {"fd-dino"}


def test_samples_of_another_network_are_refused(tmp_path):
    reference = saved(tmp_path / "r.npz", collect(NETWORK, [images(40, 1)], batch=8))
    other = FeatureNetwork("inception", "00" * 32, "none", extract)
    with pytest.raises(MismatchError, match=r"features_sha256 is 0{64} for the samples, (ab){32} for the reference"):
        scores(other, collect(other, [images(40, 1)], batch=8), reference)


def test_too_few_samples_warn_with_the_reason_and_none_is_an_error(tmp_path):
    reference = saved(tmp_path / "r.npz", collect(NETWORK, [images(40, 1)], batch=8))
    few = collect(NETWORK, [images(6, 2)], batch=8)
    with pytest.warns(UserWarning, match="6 samples for 6 features: their covariance is singular"):
        scores(NETWORK, few, reference)
    with pytest.raises(ValueError, match="no images to score"):
        collect(NETWORK, [images(0, 1)], batch=8)
