"""Joint laws over steps, best sizes, searched laws, and fits with known noise: each recovers what was planted."""

import numpy as np
import pandas as pd
import pytest

from dit_grid.analysis.fits import (
    CannotFitError,
    Floored,
    ParamsTokens,
    ParamsTokensSteps,
    PowerLaw,
    Searched,
    Status,
    along_compute,
    bootstrap,
    broken_power_law,
    compare,
    crossover,
    cut_at_budgets,
    efficient_frontier,
    fit_with_noise,
    iso_flop,
    prediction_interval,
    seed_noise,
)
from dit_grid.analysis.paper import paper_law

JOINT = Floored(ParamsTokensSteps(centre=(19.05, 4.16, 12.0)))
THETA = np.array([4.6, -0.27, -0.46, -0.11, -0.6, -0.05, -0.05, 3.0])


@pytest.fixture(scope="module")
def models():
    return paper_law().points.assign(batch=256)


@pytest.fixture(scope="module")
def curves(models):
    rows = pd.concat([models.assign(step=s) for s in (5e4, 1e5, 1.5e5, 2e5, 3e5, 4e5)], ignore_index=True)
    return rows.assign(value=np.exp(JOINT.mean(THETA, rows)))


def test_the_joint_law_over_steps_and_its_floor_are_recovered(curves):
    fit = JOINT.fit(curves)
    assert fit.theta == pytest.approx(THETA, rel=1e-5)
    assert fit.status is Status.CONVERGED
    assert fit.units["floor"] == "value"


def test_the_frontier_is_the_best_model_at_every_budget(curves, models):
    fit, budgets = JOINT.fit(curves), np.geomspace(1e8, 1e11, 12)
    best = efficient_frontier(fit, models, budgets)
    everything = along_compute(fit, models, budgets)
    assert best["mean"].tolist() == pytest.approx(everything.groupby("train_gmacs")["mean"].min().tolist())
    assert best["mean"].is_monotonic_decreasing
    assert (best["train_gmacs"] == 3 * 256 * best["gmacs"] * best["step"]).all() or np.allclose(
        best["train_gmacs"], 3 * 256 * best["gmacs"] * best["step"]
    )


def test_crossover_is_where_the_predictions_are_equal(curves, models):
    fit = JOINT.fit(curves)
    found = crossover(fit, models, "XL/4", "XL/2", (1e8, 1e12))
    assert found is not None
    budget, step = found.budget, found.step
    assert (found.low, found.high) == pytest.approx((budget, budget), rel=1e-3)  # no noise, no width
    both = along_compute(
        fit, models[models["model"].isin(["XL/4", "XL/2"])], np.array([budget / 2, budget, 2 * budget])
    )
    before, at, after = (
        both[both["train_gmacs"] == b].set_index("model")["mean"] for b in (budget / 2, budget, 2 * budget)
    )
    assert at["XL/2"] == pytest.approx(at["XL/4"], rel=1e-6)
    assert before["XL/2"] > before["XL/4"]
    assert after["XL/2"] < after["XL/4"]
    assert step == pytest.approx(budget / (3 * 256 * 118.64), rel=1e-3)
    assert crossover(fit, models, "XL/2", "XL/4", (1e8, 1e12)) is None  # the other way there is none
    with pytest.raises(CannotFitError, match="no model 'XXL/2'"):
        crossover(fit, models, "XL/4", "XXL/2", (1e8, 1e12))


def test_noise_gives_the_crossover_an_interval_and_more_noise_a_wider_one(curves, models):
    rng, widths = np.random.default_rng(0), []
    noise = rng.normal(size=len(curves))
    for sigma in (0.01, 0.03):
        fit = JOINT.fit(curves.assign(value=curves["value"] * np.exp(sigma * noise)))
        found = crossover(fit, models, "XL/4", "XL/2", (1e8, 1e13))
        assert found is not None
        assert found.low < found.budget < found.high
        widths.append(np.log(found.high / found.low))
    assert widths[1] > 2 * widths[0]


def test_bootstrap_of_a_floored_law_covers_its_coefficients(curves):
    noisy = curves.assign(value=curves["value"] * np.exp(0.03 * np.random.default_rng(0).normal(size=len(curves))))
    fit = JOINT.fit(noisy)
    ends = bootstrap(fit, noisy, 400).interval()
    assert (ends["low"] < fit.theta).all()
    assert (fit.theta < ends["high"]).all()
    assert bootstrap(fit, noisy, 400).se()["floor"] == pytest.approx(fit.params["floor"].se, rel=0.5)


def planted_budgets(bend=0.04, shift=0.0):
    rows = []
    for budget in (1e18, 1e19, 1e20, 1e21):
        for k in np.linspace(-1.5, 1.5, 7):
            loss = 30 * budget**-0.05 * np.exp(bend * (k - shift) ** 2)
            rows.append({"flops": budget, "params": 0.1 * budget**0.5 * np.exp(k), "loss": loss})
    return pd.DataFrame(rows)


def test_isoflop_parabolas_give_back_the_best_sizes():
    found = iso_flop(planted_budgets())
    assert found.minima["optimum"].tolist() == pytest.approx([0.1 * b**0.5 for b in (1e18, 1e19, 1e20, 1e21)], rel=1e-9)
    assert found.optimum is not None
    assert found.value is not None
    assert found.optimum.params["exponent"].value == pytest.approx(0.5, abs=1e-9)
    assert found.value.params["exponent"].value == pytest.approx(-0.05, abs=1e-9)


@pytest.mark.parametrize(
    ("shape", "reason"), [({"bend": -0.04}, "opens downwards"), ({"shift": 3.0}, "outside the 7 sizes")]
)
def test_budgets_without_a_minimum_are_dropped_with_the_reason(shape, reason):
    found = iso_flop(planted_budgets(**shape))
    assert found.minima.empty
    assert found.optimum is None
    assert len(found.dropped) == 4
    assert all(reason in dropped.reason for dropped in found.dropped)


def test_curves_are_cut_at_budgets_only_inside_them():
    rows = pd.DataFrame({"model": "a", "params": 1, "train_gmacs": [1.0, 10, 100], "value": [9.0, 3, 1]})
    cut = cut_at_budgets(rows, [0.5, 10**0.5, 100, 1000])
    assert cut["train_gmacs"].tolist() == [10**0.5, 100]
    assert cut["value"].tolist() == pytest.approx([27**0.5, 1])


def test_a_broken_power_law_finds_its_break():
    law, theta = broken_power_law("c", "y", (1, 1e6)), np.array([3, 0.1, 0.4, np.log(1e3), 0.5])
    frame = pd.DataFrame({"c": np.geomspace(1, 1e6, 25)})
    fit = law.fit(frame.assign(y=np.exp(law.mean(theta, frame))))
    assert fit.theta == pytest.approx(theta, rel=1e-4)
    assert "of them at this optimum" in fit.search


def test_a_function_of_ones_own_is_fitted_and_its_bound_is_no_finding():
    bounds = {"floor": (0, 50), "scale": (1, 500), "exponent": (0, 2)}
    own = Searched(lambda f, t: t[0] + t[1] * f["gmacs"] ** -t[2], bounds, title="mine")
    points = paper_law().points
    fit, line = own.fit(points, starts=8), PowerLaw().fit(points)
    assert fit.status is Status.AT_BOUND
    assert fit.fixed == ("floor",)
    assert fit.theta[2] == pytest.approx(-line.theta[1], rel=1e-4)
    assert fit.objective == pytest.approx(line.objective, rel=1e-6)
    assert fit.params["exponent"].se == pytest.approx(line.params["exponent"].se, rel=1e-3)
    assert fit.predict(points)["mean"].tolist() == pytest.approx(line.predict(points)["mean"].tolist(), rel=1e-4)


def test_noise_alike_everywhere_and_below_the_scatter_changes_nothing():
    points = paper_law().points
    plain, noisy = PowerLaw().fit(points), fit_with_noise(PowerLaw(), points, 0.1)
    assert noisy.theta == pytest.approx(plain.theta)
    assert noisy.params["exponent"].se == pytest.approx(plain.params["exponent"].se, rel=1e-6)


def test_a_fit_is_never_surer_than_the_noise_of_its_points():
    points = paper_law().points
    exact = points.assign(value=100 * points["gmacs"] ** -0.4)
    fit = fit_with_noise(PowerLaw(), exact, 0.1)
    design = np.column_stack([np.ones(12), np.log(points["gmacs"])])
    assert fit.params["exponent"].se == pytest.approx(0.1 * np.sqrt(np.linalg.inv(design.T @ design)[1, 1]), rel=1e-6)
    row = fit.predict(points.tail(1)).iloc[0]
    assert np.log(row["high"] / row["mean"]) > 2.2 * 0.1


def test_points_with_less_noise_count_more():
    points = paper_law().points
    value = 100 * points["gmacs"] ** -0.4
    value[points["model"] == "S/8"] *= 2
    noise = pd.Series(np.where(points["model"] == "S/8", 0.7, 0.05), points.index)
    fit = fit_with_noise(PowerLaw(), points.assign(value=value), noise)
    plain = PowerLaw().fit(points.assign(value=value))
    assert abs(fit.theta[1] + 0.4) < 0.25 * abs(plain.theta[1] + 0.4)


@pytest.mark.parametrize("noise", [-0.1, float("nan")])
def test_noise_must_be_a_standard_deviation(noise):
    with pytest.raises(ValueError, match="finite and not negative"):
        fit_with_noise(PowerLaw(), paper_law().points, noise)


def test_seed_noise_is_pooled_over_models():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"model": np.repeat([f"m{i}" for i in range(100)], 4)})
    rows["value"] = np.exp(rows["model"].str[1:].astype(int) / 10 + rng.normal(0, 0.2, 400))
    spread, dof = seed_noise(rows)
    assert dof == 300
    assert spread == pytest.approx(0.2, rel=0.1)  # 300 degrees of freedom give a standard deviation to 4 %
    assert seed_noise(rows.drop_duplicates("model"))[1] == 0


def test_many_points_get_a_bootstrap_interval_and_few_a_t_interval():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"gmacs": np.exp(rng.uniform(-1, 5, 300))})
    frame["value"] = 50 * frame["gmacs"] ** -0.4 * np.exp(0.2 * rng.normal(size=300))
    at = pd.DataFrame({"gmacs": [2.0, 300.0]})
    many = prediction_interval(PowerLaw().fit(frame), frame, at, replicates=1000)
    by_t = PowerLaw().fit(frame).predict(at)
    assert many["method"].str.startswith("bootstrap of 1000").all()
    assert np.log(many["high"] / many["low"]).tolist() == pytest.approx(
        np.log(by_t["high"] / by_t["low"]).tolist(), rel=0.15
    )
    few = frame.head(12)
    assert prediction_interval(PowerLaw().fit(few), few, at)["method"].eq("t, 10 degrees of freedom").all()


def test_comparing_forms_warns_about_looking():
    assert (
        "best of 2 forms on the same 12 points"
        in compare(paper_law().points, (PowerLaw(), ParamsTokens())).attrs["warning"]
    )
