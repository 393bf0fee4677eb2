"""The final value of a run is predicted while it trains, from its own evaluations and the others'."""

import numpy as np
import pandas as pd
import pytest

from dit_grid.analysis.curves.ends import final_values

REPA = {"B": (78.2, 49.5, 33.2, 24.4), "L": (55.4, 24.1, 14.0, 10.0), "XL": (52.3, 19.4, 11.1, 7.9)}
"""FID at 50K, 100K, 200K and 400K steps: Yu et al. 2024 (REPA, arXiv 2410.06940), table 7."""
STEPS = (50_000, 100_000, 200_000, 400_000)


def history(curves, count):
    rows = [(run, step, v) for run, values in curves.items() for step, v in zip(STEPS[:count], values, strict=False)]
    return pd.DataFrame(rows, columns=["run", "step", "fid"])


def test_published_runs_end_inside_the_interval_predicted_at_half_of_them():
    found = final_values(history(REPA, 3), 400_000, "fid").set_index("run")
    assert list(found["last"]) == [33.2, 14.0, 11.1]
    for run, values in REPA.items():
        low, predicted, high = found.loc[run, ["low", "predicted", "high"]].to_numpy(float)
        assert low < values[3] < high
        assert predicted == pytest.approx(values[3], rel=0.25)


def test_a_planted_curve_is_predicted_at_twice_its_steps():
    steps = np.arange(1, 11) * 1000
    truth = lambda s: 3 + 40 * (s / 1000) ** -0.8  # noqa: E731
    rows = pd.DataFrame({"run": "a", "step": steps, "value": truth(steps)})
    found = final_values(rows, {"a": 20_000})
    assert found["predicted"][0] == pytest.approx(truth(20_000), rel=0.03)
    assert found["step"][0] == 10_000
