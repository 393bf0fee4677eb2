"""The Inception Score equals its golden values, certain predictions included."""

import json
from pathlib import Path

import numpy as np
import pytest

from dit_grid.experiments.metrics.inception_score import inception_score

CASES = json.loads((Path(__file__).parents[2] / "golden" / "metrics_pr_is.json").read_text())["inception_score"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_score_by_blocks(case, generated):
    logits = generated(case["gen"], case["sha"] if case["name"] != "from_pool" else None)
    if case["name"] == "from_pool":
        logits = logits @ (np.random.default_rng(71142).standard_normal((2048, 1008)) * 0.05).astype(np.float32)

    found = inception_score(logits, case["split"])

    # Float64 throughout; only the float32 product of from_pool leaves 1e-5, the golden file's own tolerance.
    assert found == pytest.approx(case["robust_f64"], rel=1e-5 if case["name"] == "from_pool" else 1e-12)
    if case["adm_f32"] != "nan":
        assert found == pytest.approx(case["adm_f32"], rel=1e-5)  # ADM's float32


def test_logits_of_no_image_are_refused():
    with pytest.raises(ValueError, match=r"logits \(0, 10\); expected"):
        inception_score(np.zeros((0, 10)))
