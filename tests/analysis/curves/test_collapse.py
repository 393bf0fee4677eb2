"""A run that leaves its peers' loss curve is flagged where it left, at the stated rate, and no other is."""

import json

import numpy as np
import pytest

from dit_grid.analysis.curves import departed, departures
from dit_grid.analysis.curves.collapse import BINS, FALSE_ALARMS, binned, departure

STEPS, EVERY = 2000, 20
AT = np.arange(EVERY, STEPS + 1, EVERY, dtype=float)


def healthy(rng, models, own=0.01, shared=0.03):
    """Losses of one recipe: floors, falls and paces differ a little; the luck of batches is shared, some is not."""
    luck = rng.normal(0, shared, len(AT))
    rows = []
    for size in np.linspace(0, 1, models):
        floor, fall, pace = 0.10 + 0.02 * (1 - size), 0.5 * rng.uniform(0.9, 1.1), 0.55 * rng.uniform(0.97, 1.03)
        rows.append(
            (floor + fall * (AT / 20 + 3) ** -pace) * np.exp(luck * rng.uniform(0.8, 1) + rng.normal(0, own, len(AT)))
        )
    return np.array(rows)


def grid(rows, seeds=None, spec=None):
    """Records of runs and their losses, as `departures` takes them."""
    seeds = [0] * len(rows) if seeds is None else seeds
    runs = [
        {"run_id": f"r{k}", "spec": json.dumps({"train": {"batch": 8}} if spec is None else spec(k)), "seed": seed,
         "steps": STEPS, "params": 1000 * 2**k, "dataset": "digits", "batch": 8}
        for k, seed in enumerate(seeds)
    ]  # fmt: skip
    return runs, {f"r{k}": (AT, row) for k, row in enumerate(rows)}


def names(looked):
    return [one.run_id for one in looked.left]


@pytest.mark.parametrize("models", [4, 12])
def test_healthy_grids_are_flagged_no_more_often_than_stated(models):
    rng = np.random.default_rng(models)
    grids = 480 // models
    flagged = sum(len(departures(*grid(healthy(rng, models))).left) for _ in range(grids))
    # of 480 runs: 4.8 expected; 13 or more have a chance of 0.1 %
    assert flagged <= 12
    assert FALSE_ALARMS == 0.01


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        (lambda y, at: np.where(at > 1000, y * 1.15, y), 1000),  # data that turned bad
        (lambda y, at: y * np.exp(0.5 * np.maximum(at / STEPS - 0.4, 0)), 800),  # a rate too high: it stops falling
        (lambda y, at: np.where(at > 1200, y * 0.85, y), 1200),  # it sees what it should not
    ],
)
def test_a_planted_fault_is_found_after_it_began_and_in_no_other_run(fault, first):
    rows = healthy(np.random.default_rng(1), 8)
    rows[3] = fault(rows[3], AT)
    looked = departures(*grid(rows))
    assert names(looked) == ["r3"]
    (found,) = looked.left
    assert first < found.step <= first + STEPS // 4
    assert (found.by > 0) == (rows[3][-1] > healthy(np.random.default_rng(1), 8)[3][-1])
    assert found.peers == 7
    assert f"r3 left its peers' loss curve at step {found.step:,}" in str(found)
    assert "1% of healthy runs" in str(found)


def test_the_size_of_the_departure_is_that_of_the_fault():
    rows = healthy(np.random.default_rng(2), 8, own=0.001)
    rows[5] = np.where(AT > 1000, rows[5] * 1.2, rows[5])
    (found,) = departures(*grid(rows)).left
    assert found.step == 1050  # the first part of training that lies wholly behind step 1,000
    assert found.by == pytest.approx(0.2, abs=0.02)


def test_a_run_that_went_on_with_another_seed_is_found_by_the_luck_of_its_batches():
    rng = np.random.default_rng(3)
    rows, others = healthy(rng, 8, own=0.003), healthy(rng, 8, own=0.003)
    shift = rows[2, 50] / others[2, 50]
    rows[2] = np.where(AT > 1000, others[2] * shift, rows[2])
    assert names(departures(*grid(rows))) == ["r2"]


def test_replicates_of_other_seeds_are_not_held_against_each_others_luck():
    rng = np.random.default_rng(4)
    rows = np.vstack([healthy(rng, 6), healthy(rng, 6)[:2]])
    looked = departures(*grid(rows, [0] * 6 + [1] * 2))
    assert names(looked) == []
    assert (looked.looked_at, looked.alone) == (6, 2)
    replicates = np.vstack([healthy(rng, 4)[:1] for _ in range(6)])
    assert departures(*grid(replicates, range(6))).looked_at == 6


def test_with_fewer_than_three_peers_there_is_no_alarm_and_it_is_said():
    rows = healthy(np.random.default_rng(5), 3)
    rows[0] = np.where(AT > 1000, rows[0] * 3, rows[0])
    looked = departures(*grid(rows))
    assert (names(looked), looked.alone) == ([], 3)
    assert "no early alarm for 3 of 3 runs: each needs 3 others" in looked.silence


def test_runs_of_another_recipe_are_no_peers_and_of_another_rate_are():
    rows = healthy(np.random.default_rng(6), 8)
    rows[4:] *= 3
    other = grid(rows, spec=lambda k: {"train": {"batch": 8, "optimizer": {"name": "adamw" if k < 4 else "lion"}}})
    assert names(departures(*other)) == []
    rate = grid(rows, spec=lambda k: {"train": {"optimizer": {"learning_rate": 10.0**-k}}})
    assert departures(*rate).looked_at == 8
    rows[1] = np.where(AT > 1000, rows[1] * 1.3, rows[1])
    assert names(departures(other[0], grid(rows)[1])) == ["r1"]


def test_two_faults_in_one_grid_are_both_found():
    rows = healthy(np.random.default_rng(7), 10)
    rows[1] = np.where(AT > 1000, rows[1] * 1.3, rows[1])
    rows[6] = np.where(AT > 600, rows[6] * 1.2, rows[6])
    assert names(departures(*grid(rows))) == ["r6", "r1"]  # by the step at which each left


def test_a_running_run_is_held_against_peers_as_far_as_both_are():
    rows = healthy(np.random.default_rng(8), 6)
    rows[0] = np.where(AT > 700, rows[0] * 1.3, rows[0])
    runs, losses = grid(rows)
    losses["r0"] = (AT[:40], rows[0][:40])  # at step 800 of 2,000
    losses["r1"] = (AT[:10], rows[1][:10])  # behind it, so no peer yet
    looked = departures(runs, losses)
    assert names(looked) == ["r0"]
    assert looked.left[0].step <= 800
    assert looked.left[0].peers == 4


def test_rows_that_are_no_number_are_left_out_and_few_rows_say_nothing():
    rows = healthy(np.random.default_rng(9), 5)
    rows[2, 30] = np.nan
    rows[3, 31] = np.inf
    assert names(departures(*grid(rows))) == []
    runs, losses = grid(rows)
    seldom = {run: (at[::20], y[::20]) for run, (at, y) in losses.items()}
    assert departures(runs, seldom).alone == 5
    assert departures([], {}).silence == ""
    assert np.isnan(binned(np.array([]), np.array([]), 100, BINS)).all()
    assert departure(np.zeros(BINS), np.zeros((2, BINS))) is None


def test_a_report_of_results_says_which_run_left(planted):
    from dit_grid.analysis.report import report_html

    results = planted.results()
    train = results.train
    ill = (train["model"] == "L/4") & (train["step"] > 1000)
    results.train.loc[ill, "loss"] *= 1.5
    (found,) = departed(results).left
    assert found.run_id == "l-4-000000"
    assert "l-4-000000 left its peers&#x27; loss curve at step 1,1" in report_html(results)
