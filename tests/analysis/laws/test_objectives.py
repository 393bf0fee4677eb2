"""Laws of objectives are told apart at their stated rate, and cross where planted laws do."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from dit_grid.analysis.figures.objectives import objectives_against_compute
from dit_grid.analysis.fits import PowerLaw
from dit_grid.analysis.laws.objectives import _contrast, compare_objectives, in_words
from dit_grid.analysis.laws.scaling import law
from dit_grid.analysis.results.frames import NotMeasuredError, assemble
from dit_grid.analysis.results.tables import results_table

VELOCITY = {"diffusion": {"path": "linear", "prediction": "velocity"}}
CROSSING = 4e-4
"""GMACs, among the planted models."""


@pytest.fixture
def two(planted):
    """Results of two objectives on the same models, equal at CROSSING; the second's exponent is lower by `steeper`.

    It is sampled otherwise, so its protocol is another.
    """

    def make(steeper=0.2, noise=0.0, seed=0, crossing=CROSSING):
        tables = planted.tables(noise=noise, seed=seed)
        others = planted.tables(noise=noise, seed=seed + 10_000)
        gmacs = dict(zip(others[0]["run_id"], others[0]["forward_macs"] / 1e9, strict=True))
        frames: list[pd.DataFrame] = []
        for one, other in zip(tables[:4], others[:4], strict=True):
            other = other.copy()
            if "value" in other:
                drawn = other["metric"] == "fd_conv"
                factor = np.array([(gmacs[run] / crossing) ** -steeper for run in other["run_id"]])
                other.loc[drawn, "value"] = other["value"][drawn] * factor[drawn]
                other["protocol"] = other["protocol"].replace("aaaa", "cccc")
                other["sampler"] = other["sampler"].replace("ddim", "ode-heun")
            if "spec" in other:
                other["spec"] = json.dumps(VELOCITY)
            if "run_id" in other:
                other["run_id"] = other["run_id"] + "v"
            frames.append(pd.concat([one, other], ignore_index=True))
        states = {**tables[4], **{f"{run}v": state for run, state in others[4].items()}}
        return assemble(frames[0], frames[1], frames[2], frames[3], states)

    return make


def test_planted_laws_differ_by_what_was_planted_and_cross_there(two):
    found = compare_objectives(two(), "fd_conv")
    assert list(found.laws) == ["noise", "velocity, linear path"]
    (pair,) = found.contrasts
    assert pair.difference.value == pytest.approx(-0.2, rel=1e-9)
    assert pair.crossing == pytest.approx(CROSSING, rel=1e-9)
    assert pair.inside
    assert "exponents differ by -0.2 [-0.2, -0.2], told apart" in found.to_text()
    assert "they cross at 0.0004 GMACs [0.0004, 0.0004], among the models" in found.to_text()


@pytest.mark.parametrize("side", [-1, 1])
def test_lines_that_meet_powers_of_ten_beyond_the_models_are_said_not_to_cross(two, side):
    points = two().runs["forward_macs"] / 1e9
    end = points.max() if side > 0 else points.min()
    near, far = (compare_objectives(two(crossing=end * 10.0 ** (side * by)), "fd_conv") for by in (1.5, 18.0))
    assert near.contrasts[0].decades == pytest.approx(1.5)
    assert "GMACs" in near.to_text().splitlines()[-1]
    assert near.to_text().endswith("outside the models")
    assert far.contrasts[0].decades == pytest.approx(18.0)
    assert far.to_text().endswith("they do not cross within reach, 2 powers of ten beyond the models")


def test_intervals_hold_the_planted_difference_and_crossing_at_their_rate(two):
    """200 grids with noise of 10 %: 95 % intervals should hold in 190 of them; under 180 has probability 0.1 %."""
    held, draw = {"difference": 0, "crossing": 0}, np.random.default_rng(0)
    exact = compare_objectives(two(), "fd_conv").laws

    def noisy(found):  # the rest of a law is the same whatever its values
        points = found.points.assign(value=found.points["value"] * np.exp(draw.normal(0, 0.1, len(found.points))))
        return replace(found, points=points, fit=PowerLaw().fit(points))

    for _ in range(200):
        (one, first), (other, second) = exact.items()
        pair = _contrast(one, noisy(first), other, noisy(second))
        held["difference"] += pair.difference.low <= -0.2 <= pair.difference.high
        held["crossing"] += pair.low <= CROSSING <= pair.high
    assert all(count >= 180 for count in held.values()), held


def test_laws_that_are_not_told_apart_bound_no_crossing(two):
    (pair,) = compare_objectives(two(steeper=0.001, noise=0.2), "fd_conv").contrasts
    assert pair.difference.low < 0 < pair.difference.high
    assert (pair.low, pair.high) == (0.0, np.inf)


def test_one_objective_is_no_comparison(planted):
    with pytest.raises(NotMeasuredError, match=r"fd_conv of two objectives is needed, .* has it of noise\."):
        compare_objectives(planted.results(), "fd_conv")


def test_the_table_of_results_says_which_objective(two, planted):
    assert set(results_table(two())["objective"]) == {"noise", "velocity, linear path"}
    assert "objective" not in results_table(planted.results())


def test_both_laws_stand_in_one_figure(two):
    chart = objectives_against_compute(compare_objectives(two(), "fd_conv"))
    assert len(chart.data) == 24
    (ax,) = chart.axes
    assert len(ax.collections) == 2  # two bands
    drawn = [np.asarray(line.get_xdata()) for line in ax.lines]
    assert [x[0] for x in drawn if len(x) == 2 and np.ptp(x) == 0] == [pytest.approx(CROSSING)]


def test_a_crossings_interval_ends_where_the_laws_differ_by_their_error_times_t(two):
    found = compare_objectives(two(noise=0.05), "fd_conv")
    (pair,) = found.contrasts
    one, other = (law.fit for law in found.laws.values())
    assert one is not None
    assert other is not None
    assert pair.crossing is not None
    x = np.log([pair.low, pair.crossing, pair.high])
    design = np.column_stack([np.ones(3), x])
    gap = design @ (other.theta - one.theta)
    error = np.sqrt(np.einsum("ni,ij,nj->n", design, one.covariance + other.covariance, design))
    variances = [fit.params["exponent"].se ** 2 for fit in (one, other)]
    dof = sum(variances) ** 2 / sum(v**2 / 10 for v in variances)  # Welch; twelve models and two coefficients each
    np.testing.assert_allclose(np.abs(gap / error), [t.ppf(0.975, dof), 0, t.ppf(0.975, dof)], atol=1e-6)


def test_a_launch_over_several_objectives_ends_with_a_law_each(two, planted):
    for results, first in ((two(), "Laws of Fréchet distance"), (planted.results(), "Scaling law: ")):
        assert in_words(results, law(results, "fd_conv")).startswith(first)
