"""Moments are those of all rows at once, however the rows are cut, ordered and spread over hosts."""

import numpy as np
import pytest

from dit_grid.experiments.metrics.moments import Moments, MomentsError, moments_of


@pytest.mark.parametrize("index", [0, 1])
def test_golden_streams(index, golden, generated):
    case = golden("metrics_pr_is")["streaming"][index]
    rows = generated(case["gen"], case["sha"])
    chunks = np.split(rows, np.cumsum(case["chunks"])[:-1])

    moments = moments_of(chunks, rows.shape[1])

    # The golden file's tolerance for float64 sums of centred chunks.
    covariance = moments.covariance()
    assert np.trace(covariance) == pytest.approx(case["trace"], rel=1e-9)
    assert np.linalg.norm(covariance) == pytest.approx(case["fro"], rel=1e-9)
    np.testing.assert_allclose(moments.mean[:5], case["mean_head"], rtol=1e-9)
    np.testing.assert_allclose(covariance[0, :5], case["cov_head"], rtol=1e-9)


def test_hosts_and_order_do_not_matter():
    rows = np.random.default_rng(0).normal(100, 1, (3000, 24)).astype(np.float32)
    hosts = [moments_of(np.array_split(part, 5), 24) for part in np.split(rows[::-1], [0, 1, 1200, 1207])]
    merged = Moments(24)
    for host in hosts:
        merged.merge(Moments.of(host.count, host.mean, host.scatter()))  # as if sent over a network

    assert merged.count == 3000
    # Means of 100 in float64 leave 1e-14 of relative error a row; the promise to users is 1e-6.
    np.testing.assert_allclose(merged.mean, rows.mean(axis=0, dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(
        merged.covariance(), np.cov(rows.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-12
    )
    assert np.array_equal(merged.covariance(), merged.covariance().T)


def test_a_broken_row_is_named_by_its_place():
    rows = np.zeros((10, 3))
    rows[4, 1] = np.inf
    with pytest.raises(MomentsError, match="features of image 14, and 0 after it, hold NaN"):
        Moments(3).add(np.ones((10, 3))).add(rows)


def test_too_few_rows_or_another_width_are_refused():
    with pytest.raises(MomentsError, match="1 images have no covariance"):
        Moments(3).add(np.ones((1, 3))).covariance()
    with pytest.raises(MomentsError, match=r"features \(5, 4\); expected \(N, 3\)"):
        Moments(3).add(np.ones((5, 4)))
    with pytest.raises(MomentsError, match="moments of 4 features cannot join those of 3"):
        Moments(3).merge(Moments(4))
