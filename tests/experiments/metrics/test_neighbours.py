"""Precision, recall, density and coverage equal the golden values exactly, however the work is cut into blocks."""

import json
from pathlib import Path

import numpy as np
import pytest

from dit_grid.experiments.metrics import neighbours
from dit_grid.experiments.metrics.neighbours import density_coverage, precision_recall, radii

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "metrics_pr_is.json").read_text())


def arrays(case, generated):
    first, second = generated(case["gen1"]), generated(case["gen2"])
    if case["name"] == "d16_int":
        first, second = np.rint(first), np.rint(second)
    if case["name"] == "duplicates":
        first, second = (np.repeat(np.rint(x), 5, axis=0) for x in (first, second))
        second[:50] = first[:50]
    factor = np.float32(case.get("mul", 1.0))
    return first * factor, second * factor


@pytest.mark.parametrize("block", [2500, 128])
@pytest.mark.parametrize("case", GOLDEN["precision_recall"], ids=lambda case: case["name"])
def test_precision_and_recall_are_exact(case, block, generated, monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK", block)
    reference, samples = arrays(case, generated)
    for k, known in zip(case["k"], case["exact"], strict=True):
        found = precision_recall(reference, samples, k)
        assert found == (known["precision"], known["recall"])
        # Float32 squares of features that are not centred here: five digits, and exactly 0 where points coincide.
        np.testing.assert_allclose(radii(reference, k)[:5], known["radii1_head"], rtol=3e-5)


@pytest.mark.parametrize("case", GOLDEN["prdc"], ids=lambda case: case["name"])
def test_density_and_coverage_are_exact(case, generated):
    reference, samples = arrays(case, generated)
    found = density_coverage(reference, samples, case["k"])
    assert found.density == pytest.approx(case["density"], rel=1e-12)  # a count over k M
    assert found.coverage == pytest.approx(case["coverage"], rel=1e-12)


def test_fewer_images_than_neighbours_are_refused():
    with pytest.raises(ValueError, match="3 images have no 3-th neighbours; give more than 3"):
        precision_recall(np.zeros((3, 2)), np.zeros((9, 2)))
