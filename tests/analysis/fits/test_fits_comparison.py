"""Forms compared on the paper's twelve points; expected values were computed from Table 4 apart from this code."""

from typing import Any

import pytest

from dit_grid.analysis.fits import (
    ParamsTokens,
    PowerLaw,
    Quadratic,
    bootstrap,
    compare,
    hold_out_largest,
    leave_one_out,
)
from dit_grid.analysis.paper import paper_law

#            rms   AICc   LOO   worst  largest
EXPECTED = {
    "line in log x": (0.206, -28.9, 0.258, 0.57, 11.00),
    "power law": (0.226, -26.7, 0.274, 0.51, 26.48),
    "gmacs^−α + floor": (0.226, -22.0, 0.274, 0.51, 26.48),
    "quadratic in ln x": (0.169, -28.9, 0.210, 0.40, 18.02),
    "params and tokens": (0.160, -30.2, 0.236, 0.40, 25.65),
    "params^−α + tokens^−α + floor": (0.066, -36.4, 0.099, 0.17, 22.36),
    "power law per patch": (0.038, -36.6, 0.089, 0.22, 20.67),
    "params × tokens": (0.052, -50.8, 0.077, 0.13, 19.25),
    "params × tokens, curved": (0.052, -42.3, 0.091, 0.16, 18.93),
}


@pytest.fixture(scope="module")
def points():
    return paper_law().points


@pytest.fixture(scope="module")
def table(points) -> Any:
    return compare(points).set_index("law")


@pytest.mark.parametrize("law", EXPECTED)
def test_every_form_scores_as_computed_elsewhere(table, law):
    rms, aicc, loo, worst, largest = EXPECTED[law]
    row = table.loc[law]
    assert row["rms"] == pytest.approx(rms, abs=6e-4)  # three decimals given
    assert row["aicc"] == pytest.approx(aicc, abs=0.08)  # one decimal given
    assert row["loo_rms"] == pytest.approx(loo, abs=6e-4)
    assert row["loo_worst"] == pytest.approx(worst, abs=6e-3)
    assert row["largest"] == pytest.approx(largest, abs=7e-3)


def test_params_times_tokens_ranks_first_and_the_floor_is_at_its_bound(table):
    assert table.index[0] == "params × tokens"
    assert table.loc["gmacs^−α + floor", "status"] == "at bound"
    assert table.loc["params^−α + tokens^−α + floor", "status"] == "at bound"


def test_interaction_form_has_the_known_coefficients_and_errors(points):
    fit = ParamsTokens().fit(points)
    assert fit.theta == pytest.approx([4.1517, -0.2726, -0.4667, -0.1131], abs=6e-5)
    errors = [-9.3, 2.9, 10.5, 4.4, 3.5, -12.4, -11.2, 11.2, -3.0, -2.7, 5.8, -1.1]
    assert (100 * leave_one_out(points, ParamsTokens())["error"]).tolist() == pytest.approx(
        errors, abs=0.12
    )  # from rounded parameters


@pytest.mark.parametrize(
    ("law", "k", "mape"),
    [
        (PowerLaw(), 6, 52.1), (PowerLaw(), 3, 44.9), (PowerLaw(), 1, 36.0),
        (Quadratic(), 5, 174.4), (Quadratic(), 4, 4.9), (Quadratic(), 1, 7.5),
        (ParamsTokens(), 6, 9.4), (ParamsTokens(), 4, 16.1), (ParamsTokens(), 3, 3.0), (ParamsTokens(), 1, 1.1),
    ],
)  # fmt: skip
def test_the_most_expensive_models_from_the_cheaper_ones(points, law, k, mape):
    error = hold_out_largest(points, law, k)["error"].abs().mean()
    assert 100 * error == pytest.approx(mape, abs=0.5)  # some expected values are whole per cents


@pytest.mark.parametrize(
    ("law", "ends"), [(PowerLaw(), (13.6, 51.5)), (Quadratic(), (9.0, 36.2)), (ParamsTokens(), (15.5, 23.9))]
)
def test_prediction_intervals_of_the_largest_model(points, law, ends):
    row = hold_out_largest(points, law).iloc[0]
    assert (row["low"], row["high"]) == pytest.approx(ends, abs=0.06)


def test_bootstrap_intervals_of_the_exponents(points):
    power: Any = bootstrap(PowerLaw().fit(points), points).percentiles()
    assert (-power.loc["exponent"]).tolist()[::-1] == pytest.approx(
        [0.276, 0.482], abs=0.01
    )  # other draws of 4,000 resamples
    both: Any = bootstrap(ParamsTokens().fit(points), points).percentiles()
    assert (-both.loc["tokens_exponent"]).tolist() == pytest.approx([0.517, 0.410], abs=0.01)


def test_forms_that_the_points_cannot_determine_are_left_out(points):
    few = compare(points.head(5))
    # Each point is predicted from four, so forms of four coefficients or more cannot be scored.
    assert set(few["law"]) == {
        "line in log x",
        "power law",
        "gmacs^−α + floor",
        "quadratic in ln x",
        "params and tokens",
    }
