"""Laws recover what was planted, say what they dropped, and refuse what the data cannot determine."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from dit_grid.analysis.fits import (
    CannotFitError,
    LogLinear,
    ParamsTokens,
    PerGroup,
    PowerLaw,
    Quadratic,
    Status,
    SumOfPowers,
    bootstrap,
    correlate,
)

RNG = np.random.default_rng(0)


def grid(n=12, noise=0.0, seed=0):
    """Twelve or more models with params, tokens, gmacs and patch spread over decades."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"params": np.exp(rng.uniform(3, 7, n)), "patch": np.resize([8, 4, 2], n)})
    frame["tokens"] = (32 / frame["patch"]) ** 2
    frame["gmacs"] = frame["params"] * frame["tokens"] / 1e3
    frame["noise"] = np.exp(noise * rng.normal(size=n))
    return frame


@given(scale=st.floats(1e-3, 1e3), exponent=st.floats(-3, 3), unit=st.floats(1e-6, 1e6))
@settings(deadline=None, max_examples=40)
def test_power_law_is_exact_and_a_change_of_unit_changes_only_the_scale(scale, exponent, unit):
    frame = grid().assign(value=lambda f: scale * f["gmacs"] ** exponent)
    fit = PowerLaw().fit(frame)
    scaled = PowerLaw().fit(frame.assign(gmacs=frame["gmacs"] * unit))
    # Least squares in float64 on logs up to 30: a dozen digits less the condition number, about 1e2.
    assert fit.params["exponent"].value == pytest.approx(exponent, abs=1e-10)
    assert scaled.params["exponent"].value == pytest.approx(exponent, abs=1e-10)
    assert np.exp(fit.params["ln_scale"].value) == pytest.approx(scale, rel=1e-9)


@pytest.mark.parametrize(
    ("law", "theta"),
    [
        (LogLinear(), [100, -20]),
        (PowerLaw(), [3, -0.4]),
        (Quadratic(), [3, -0.4, 0.02]),
        (PerGroup(groups=(2, 4, 8)), [5, -0.4, 4, -0.3, 3, -0.1]),
        (ParamsTokens(centre=(5.0, 4.0)), [4, -0.3, -0.5, -0.1]),
        (ParamsTokens(centre=(5.0, 4.0), interaction=False), [4, -0.3, -0.5]),
        (ParamsTokens(centre=(5.0, 4.0), curved=True), [4, -0.3, -0.5, -0.1, 0.02]),
    ],
    ids=lambda v: v.name if hasattr(v, "name") else "",
)
def test_linear_laws_return_the_coefficients_that_made_the_data(law, theta):
    frame = grid(18)
    value = law.mean(np.array(theta, dtype=float), frame)
    fit = law.fit(frame.assign(value=np.exp(value) if law.log_y else value))
    assert fit.theta == pytest.approx(theta, rel=1e-8)  # float64 with a condition number below 1e3
    assert fit.status is Status.CONVERGED
    assert fit.r == pytest.approx(1)


def test_intervals_are_those_of_ordinary_least_squares():
    """Against scipy.stats.linregress, which computes slope and error by other formulas."""
    from scipy.stats import linregress, t

    frame = grid(12, 0.3).assign(value=lambda f: 50 * f["gmacs"] ** -0.4 * f["noise"])
    fit, other = PowerLaw().fit(frame), linregress(np.log(frame["gmacs"]), np.log(frame["value"]))
    slope = fit.params["exponent"]
    assert (slope.value, slope.se) == pytest.approx((other.slope, other.stderr), rel=1e-9)
    assert slope.high - slope.value == pytest.approx(t.ppf(0.975, 10) * other.stderr, rel=1e-9)
    assert abs(fit.r) == pytest.approx(abs(other.rvalue), rel=1e-9)


def test_prediction_intervals_cover_a_new_model_at_their_stated_rate():
    law, hits, sets = ParamsTokens(), 0, 500
    rng = np.random.default_rng(1)
    seen, new = grid(13).iloc[:12], grid(13).iloc[12:]
    for _ in range(sets):
        frame = seen.assign(value=40 * seen["gmacs"] ** -0.4 * np.exp(0.2 * rng.normal(size=12)))
        truth = 40 * new["gmacs"].iloc[0] ** -0.4 * np.exp(0.2 * rng.normal())
        interval = law.fit(frame).predict(new).iloc[0]
        hits += interval["low"] <= truth <= interval["high"]
    assert 0.92 <= hits / sets <= 0.98  # 95 % within three standard errors of 500 draws, 0.0097 each


def test_dropped_rows_are_listed_with_the_reason():
    frame = grid().assign(value=lambda f: f["gmacs"] ** -0.4)
    frame.loc[3, "value"], frame.loc[5, "value"], frame.loc[7, "gmacs"] = np.nan, 0.0, -1.0
    fit = PowerLaw().fit(frame)
    reasons = {d.row: d.reason for d in fit.dropped}
    assert reasons == {3: "value is nan", 5: "value = 0 has no logarithm", 7: "gmacs = -1 has no logarithm"}
    assert fit.n == 9
    assert "dropped row 5: value = 0 has no logarithm" in fit.report()


@pytest.mark.parametrize(("law", "needed"), [(PowerLaw(), 3), (ParamsTokens(), 5), (SumOfPowers(), 4)])
def test_as_many_points_as_coefficients_are_refused(law, needed):
    frame = grid().assign(value=lambda f: f["gmacs"] ** -0.4)
    with pytest.raises(CannotFitError, match=f"needs at least {needed} points; got {needed - 1}"):
        law.fit(frame.head(needed - 1))


def test_missing_column_is_named():
    with pytest.raises(CannotFitError, match="no column 'value'; the frame has"):
        PowerLaw().fit(grid())


def test_tokens_that_do_not_vary_are_not_identifiable():
    frame = grid().assign(value=lambda f: f["gmacs"] ** -0.4, tokens=64.0)
    fit = ParamsTokens(interaction=False).fit(frame)
    assert fit.status is Status.NOT_IDENTIFIABLE
    assert np.isnan(fit.params["tokens_exponent"].se)


def test_predicting_for_a_patch_never_seen_is_refused():
    fit = PerGroup().fit(grid(18).assign(value=lambda f: f["gmacs"] ** -0.4 * (1 + f["patch"] / 10)))
    with pytest.raises(CannotFitError, match=r"no law for patch \[16\]; fitted: 2, 4, 8"):
        fit.predict(pd.DataFrame({"gmacs": [1.0], "patch": [16]}))


def test_predict_says_how_far_it_extrapolates():
    frame = pd.DataFrame({"gmacs": [1.0, 2, 5, 10], "value": [9.0, 7, 5, 4]})
    assert PowerLaw().fit(frame).predict(np.array([0.25, 3, 40])).extrapolation.tolist() == [4, 1, 4]


def test_order_of_rows_is_irrelevant():
    frame = grid(12, 0.3).assign(value=lambda f: f["gmacs"] ** -0.4 * f["noise"])
    for law in (PowerLaw(), ParamsTokens(), SumOfPowers(("params", "tokens"))):
        first, second = law.fit(frame), law.fit(frame.sample(frac=1, random_state=2))
        assert second.objective == pytest.approx(first.objective, rel=1e-9)  # sums in another order


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_correlation_interval_holds_r_and_bounds(seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": np.exp(rng.normal(size=8)), "y": rng.normal(size=8)})
    found = correlate(frame, "x", "y")
    assert -1 <= found.low <= found.r <= found.high <= 1


def test_correlation_of_three_points_is_refused():
    with pytest.raises(CannotFitError, match="at least 4 points; got 3"):
        correlate(pd.DataFrame({"x": [1, 2, 3], "y": [1, 2, 3]}), "x", "y")


def test_bootstrap_of_many_points_agrees_with_the_t_intervals():
    frame = grid(200, 0.3).assign(value=lambda f: 50 * f["gmacs"] ** -0.4 * f["noise"])
    fit = PowerLaw().fit(frame)
    found = bootstrap(fit, frame, 2000)
    # 2,000 replicates give a standard error to 1.6 %, case resampling of 200 points differs by a few per cent more.
    assert found.se()["exponent"] == pytest.approx(fit.params["exponent"].se, rel=0.15)
    assert found.degenerate == 0


def test_bootstrap_repeats_bit_for_bit_and_counts_degenerate_resamples():
    frame = grid(5, 0.3).assign(value=lambda f: f["gmacs"] ** -0.4 * f["noise"])
    fit = ParamsTokens(interaction=False).fit(frame)
    first, second = bootstrap(fit, frame, 500), bootstrap(fit, frame, 500)
    pd.testing.assert_frame_equal(first.samples, second.samples)
    assert first.degenerate > 0
    assert len(first.samples) + first.degenerate == 500
