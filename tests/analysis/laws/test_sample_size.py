"""The bias of a distance with the number of samples: taken out where it can be, warned of where it cannot."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from dit_grid.analysis.fits import CannotFitError
from dit_grid.analysis.laws.sample_size import sample_size_warning, without_bias
from dit_grid.analysis.laws.scaling import law


def test_the_distance_at_infinitely_many_samples_is_recovered():
    rows = pd.DataFrame({"samples": [5000, 10_000, 20_000, 50_000]}).assign(value=lambda f: 9.5 + 20_000 / f["samples"])
    found = without_bias(rows)
    assert (found.value, found.bias) == pytest.approx((9.5, 20_000))
    assert found.at(10_000) == pytest.approx(11.5)


def test_the_bias_of_a_real_frechet_distance_is_one_over_n():
    """Distances between Gaussians of 16 dimensions and their samples, averaged over draws, extrapolate to 0."""
    rng = np.random.default_rng(0)
    rows = []
    for samples in (250, 500, 1000, 2000):
        for _ in range(40):
            x = rng.normal(size=(samples, 16))
            root = np.sqrt(np.clip(np.linalg.eigvalsh(np.cov(x.T)), 0, None)).sum()
            distance = x.mean(0) @ x.mean(0) + np.trace(np.cov(x.T)) + 16 - 2 * root
            rows.append({"samples": samples, "value": distance})
    found = without_bias(pd.DataFrame(rows))
    first = float(np.mean([row["value"] for row in rows if row["samples"] == 250]))
    assert abs(found.value) < 0.03 * first
    assert abs(found.value) < 4 * found.se


def test_one_number_of_samples_says_nothing_about_the_bias():
    with pytest.raises(CannotFitError, match="two or more numbers of samples"):
        without_bias(pd.DataFrame({"samples": [5000, 5000], "value": [10.0, 10.1]}))


def test_values_from_different_numbers_of_samples_are_warned_of():
    rows = pd.DataFrame({"metric": ["fid", "fid", "accuracy"], "samples": [10_000, 50_000, 100], "value": [1.0, 2, 3]})
    assert "fid from 10,000, 50,000 samples" in str(sample_size_warning(rows))
    assert sample_size_warning(rows.tail(2)) is None


def test_a_law_of_fid_from_few_samples_says_so(planted):
    results = planted.results()
    assert law(results).sample_size is None  # 1,000 images under one setting, of a metric that nobody publishes
    few = dataclasses.replace(results, evals=results.evals.assign(metric="fid", samples=10_000))
    assert "fid from 10,000 samples lies above that from 50,000" in law(few, "fid").to_text()
    usual = dataclasses.replace(results, evals=results.evals.assign(metric="fid", samples=50_000))
    assert law(usual, "fid").sample_size is None
