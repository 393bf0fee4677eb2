"""The final value of a run is predicted while it trains, from its own evaluations and the others'."""

import numpy as np
import pandas as pd
import pytest

from dit_grid.analysis.curves import ends_of, final_values
from dit_grid.analysis.tables import TableError

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


DIGITS = {
    "B/4": (155.8, 76.8, 63.1, 58.8, 51.1, 46.6, 40.9, 39.5, 37.0, 34.1),
    "B/8": (399.0, 364.2, 332.3, 298.7, 270.9, 251.9, 231.2, 213.1, 200.8, 191.3),
    "L/4": (118.5, 63.4, 55.4, 51.8, 46.5, 43.3, 39.7, 33.9, 31.6, 26.3),
    "L/8": (308.1, 232.9, 186.3, 160.1, 143.4, 131.2, 110.3, 93.2, 80.7, 69.7),
    "S/4": (179.7, 85.8, 66.7, 64.4, 58.4, 54.5, 50.0, 47.9, 47.4, 42.5),
    "S/8": (453.0, 435.7, 418.0, 405.6, 397.3, 389.4, 375.1, 365.6, 361.0, 355.4),
}
"""fd_conv of real digits models every 130 of 1,300 steps: experiments/digits.yaml at seed 0, patches 4 and 8."""


def digits(running, share):
    """All runs to their end but one, which has done a share of its steps."""
    steps = np.arange(130, 1301, 130)
    rows = [
        (run, step, value)
        for run, values in DIGITS.items()
        for step, value in zip(steps, values, strict=True)
        if run != running or step <= share * 1300
    ]
    return pd.DataFrame(rows, columns=["run", "step", "fd_conv"])


def test_real_runs_at_half_are_predicted_within_fifteen_percent_by_their_peers():
    errors = []
    for run, values in DIGITS.items():
        found = final_values(digits(run, 0.5), 1300, "fd_conv").set_index("run").loc[run]
        assert (found["step"], found["peers"]) == (650, 5)
        assert found["low"] < values[-1] < found["high"]
        errors.append(abs(np.log(found["predicted"] / values[-1])))
    assert np.mean(errors) < 0.15


def test_a_run_that_ended_is_its_own_answer_and_one_evaluation_says_nothing_yet():
    rows = digits("L/4", 0.1)
    found = final_values(rows, 1300, "fd_conv").set_index("run")
    assert list(found.loc["S/8", ["predicted", "low", "high"]]) == pytest.approx([355.4] * 3)
    assert found.loc["L/4", ["predicted", "low", "high"]].isna().all()


def test_an_evaluation_that_is_not_finite_or_repeated_changes_nothing():
    rows = digits("L/4", 0.5)
    bad = pd.DataFrame([("L/4", 700, np.nan), ("L/4", 710, np.inf), ("L/4", 650, 46.5)], columns=rows.columns)
    clean = final_values(rows, 1300, "fd_conv").set_index("run").loc["L/4"]
    found = final_values(pd.concat([rows, bad]), 1300, "fd_conv").set_index("run").loc["L/4"]
    assert found["predicted"] == pytest.approx(clean["predicted"])


def test_the_more_of_a_run_is_done_the_better_its_end_is_known():
    widths = []
    for share in (0.3, 0.5, 0.8):
        found = final_values(digits("L/8", share), 1300, "fd_conv").set_index("run").loc["L/8"]
        widths.append(found["high"] / found["low"])
    assert widths == sorted(widths, reverse=True)


def test_a_store_tells_where_its_runs_will_end_and_what_twice_the_steps_would_bring(planted):
    two = {"S": (32, 2), "XL": (80, 5)}
    results = planted.results(stop=("XL/2",), sizes=two)
    (row,) = ends_of(results, "fd_conv").to_dict("records")
    truth = (
        planted.results(sizes=two)
        .evals.query("model == 'XL/2' and metric == 'fd_conv' and step == 2000")["value"]
        .item()
    )
    assert (row["model"], row["step"], row["until"], row["peers"]) == ("XL/2", 1000, 2000, 5)
    assert row["predicted"] == pytest.approx(truth, rel=0.02)
    assert row["low"] < truth < row["high"]
    twice = ends_of(results, "fd_conv", 2).set_index("model")
    assert len(twice) == 6
    law = results.evals.query("model == 'S/8' and metric == 'fd_conv' and step == 2000")["value"].item() * 2**-0.6
    assert twice.loc["S/8", "predicted"] == pytest.approx(law, rel=0.03)
    with pytest.raises(TableError, match="accuracy rises with training"):
        ends_of(results, "accuracy")
