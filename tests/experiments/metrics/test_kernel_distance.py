"""KID equals its golden values; the unbiased estimate centres on zero for equal distributions at any number."""

import json
from pathlib import Path

import numpy as np
import pytest

from dit_grid.experiments.metrics import kernel_distance
from dit_grid.experiments.metrics.kernel_distance import gaussian_kernel, squared_mmd

CASES = json.loads((Path(__file__).parents[2] / "golden" / "metrics_pr_is.json").read_text())["kid"]


@pytest.mark.parametrize("block", [2000, 128])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_golden_kid(case, block, generated, monkeypatch):
    monkeypatch.setattr(kernel_distance, "_BLOCK", block)
    found = squared_mmd(generated(case["gen1"]), generated(case["gen2"]))
    assert found == pytest.approx(case["mmd2_unbiased"], rel=1e-9)  # the golden file's tolerance, float64


def test_a_gaussian_kernel_is_unbiased_too():
    draw = np.random.default_rng(0).standard_normal
    kernel = gaussian_kernel(2.0)
    estimates = [squared_mmd(draw((12, 3)), draw((8, 3)), kernel) for _ in range(400)]
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates)) < 4 * error
    assert min(estimates) < 0
    assert squared_mmd(draw((50, 3)), draw((50, 3)) + 1, kernel) > 10 * error


def test_the_gaussian_kernel_by_hand():
    # Points of one set are 2 apart; across sets three pairs are 1 apart and one pair 3.
    found = squared_mmd(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]]), gaussian_kernel(2.0))
    assert found == pytest.approx(2 * np.exp(-0.5) - (3 * np.exp(-1 / 8) + np.exp(-9 / 8)) / 2, rel=1e-14)


def test_one_image_is_refused():
    with pytest.raises(ValueError, match="1 reference images and 5 samples"):
        squared_mmd(np.zeros((1, 2)), np.zeros((5, 2)))
