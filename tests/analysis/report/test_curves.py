"""Curves that travel to the page: every value where there is room, means of bins where there is none."""

import numpy as np
import pytest

from dit_grid.analysis.report.curves import curve, curves, interned, main_rows, points_each, quantities


def test_a_short_curve_travels_whole_and_a_long_one_as_means_of_bins():
    steps, values = np.arange(1, 1001), np.arange(1000.0)
    assert curve(steps[:5], values[:5], 60, average=True) == [[1, 2, 3, 4, 5], [0, 1, 2, 3, 4]]
    thinned = curve(steps, values, 100, average=True)
    assert thinned[0] == list(range(10, 1001, 10))
    assert thinned[1] == [4.5 + 10 * k for k in range(100)]
    assert curve(steps, values, 100, average=False)[1][-1] == 999, "a final value is no mean"


def test_runs_logged_at_the_same_steps_share_them(planted):
    results = planted.results(seeds=(0, 1))
    found = curves(results.train, main_rows(results), quantities(results), 400)
    steps, packed = interned(found)
    assert len(steps) == 2, "of training and of evaluation"
    place, values = packed["train/loss"]["xl-2-000001"]
    assert steps[place] == list(range(100, 2001, 100))
    assert values == pytest.approx([0.1 + 90 / (100 + step) for step in steps[place]], rel=1e-5)


@pytest.mark.parametrize(("runs", "points"), [(1, 400), (300, 400), (1000, 120), (10_000, 60)])
def test_many_runs_carry_fewer_points_each(runs, points):
    assert points_each(runs) == points
