"""What a run is expected to teach: exactly what a refit with that run then says, and never more than is bought."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from dit_grid.analysis.fits import CannotFitError, ParamsTokens, PowerLaw
from dit_grid.analysis.forecasting.design import ANOTHER_SEED, MORE_SAMPLES, NEW_MODEL, Noise, choose, design_for, rank
from dit_grid.analysis.forecasting.prediction import costlier_than_cheapest, held_out
from dit_grid.analysis.forecasting.target import parse_target, standing
from dit_grid.analysis.laws.scaling import law
from dit_grid.analysis.paper.selections import twelve

PART = 8


@pytest.fixture(scope="module")
def paper():
    return twelve()


@pytest.fixture(scope="module")
def part(paper):
    """The paper's eight cheapest models."""
    return held_out(paper, costlier_than_cheapest(law(paper, "fid"), PART))


def cells(results, models, kind=NEW_MODEL):
    rows = results.runs[results.runs["model"].isin(models)]
    return (
        rows[["model", "run_id", "params", "tokens", "gmacs"]]
        .assign(kind=kind, cost=rows["gmacs"])
        .reset_index(drop=True)
    )


@pytest.mark.parametrize("text", ["exponent ±0.1", "tokens_exponent ±0.1", "forecast:XL/2 ±10%", "forecast:XL/2 ±3"])
def test_with_nothing_bought_the_width_is_that_of_the_fit(part, text):
    target = parse_target(text)
    assert design_for(part, target, "fid").half_width == pytest.approx(standing(part, target, "fid").width, rel=1e-9)


def test_the_expected_width_is_that_of_a_refit_at_the_same_scatter(part, paper):
    """Textbook least squares, by hand: t x s x sqrt of the slope's entry of the inverse of X'X with the new row."""
    found = rank(design_for(part, parse_target("exponent"), "fid"), cells(paper, ["L/2"])).iloc[0]
    seen = law(part, "fid").points
    s = PowerLaw().fit(seen).sigma
    x = np.column_stack([np.ones(PART + 1), np.log([*seen["gmacs"], 80.71])])
    width = student.ppf(0.975, PART + 1 - 2) * s * np.sqrt(np.linalg.inv(x.T @ x)[1, 1])
    assert found["width_after"] == pytest.approx(width, rel=1e-9)
    assert found["per_cost"] == pytest.approx(found["narrows"] / 80.71)


def test_more_seeds_average_out_only_what_seeds_do(part):
    """Misfit² + seeds²/n: endless seeds leave the misfit, and do not add a degree of freedom."""
    design = design_for(part, parse_target("exponent"), "fid")
    one = cells(part, ["S/8"], ANOTHER_SEED)
    many = design
    for _ in range(50):
        many = many.after(ANOTHER_SEED, one)
    assert many.half_width < design.half_width
    no_seeds = dataclasses.replace(design, noise=dataclasses.replace(design.noise, seeds=0.0))
    assert many.half_width > no_seeds.half_width
    assert Noise(0.3, 0.4, 0.0, "").variance(4) == pytest.approx(0.09 + 0.04)


def test_more_samples_average_out_only_what_sampling_does():
    noise = Noise(misfit=0.0, seeds=0.05, sampling=0.03, source="").with_samples(9.0)
    assert noise.seeds == pytest.approx(np.hypot(0.04, 0.01))  # 0.05² = 0.04² + 0.03², and 0.03 / 3
    assert noise.sampling == pytest.approx(0.01)


def test_replicates_teach_the_seed_noise_and_one_seed_leaves_it_assumed(planted):
    assert (
        "no model has two seeds"
        in design_for(planted.results(noise=0.1), parse_target("exponent"), "fd_conv").noise.source
    )
    many = design_for(planted.results(noise=0.1, seeds=range(8)), parse_target("exponent"), "fd_conv").noise
    assert many.seeds == pytest.approx(0.1, rel=0.2)  # 84 degrees of freedom: known to 8 %


def test_expectation_holds_on_average_over_planted_grids(planted):
    """What is promised before the runs is what is found after them, over 8 grids of planted noise."""
    models = ["L/2", "XL/4", "XL/2"]
    promised, found = [], []
    for seed in range(8):
        whole = planted.results(noise=0.2, seed=seed)
        design = design_for(held_out(whole, models), parse_target("exponent"), "fd_conv")
        for model in models:
            design = design.after(NEW_MODEL, cells(whole, [model]))
        promised.append(design.half_width)
        found.append(standing(whole, parse_target("exponent"), "fd_conv").width or np.nan)
    assert np.mean(promised) == pytest.approx(np.mean(found), rel=0.2)  # 8 draws of a width known to 25 % each


def test_a_choice_stays_within_its_budget_and_is_no_worse_than_the_best_single(part, paper):
    dear = costlier_than_cheapest(law(paper, "fid"), PART)
    design = design_for(part, parse_target("forecast:XL/2 ±10%"), "fid")
    offered = pd.concat([cells(paper, dear[:-1]), cells(part, ["S/8", "B/4"], ANOTHER_SEED)], ignore_index=True)
    for budget in (1.0, 25.0, 60.0, 90.0, 140.0):
        bought, reached = choose(design, offered, budget)
        assert offered["cost"].iloc[bought].sum() <= budget
        singles = rank(design, offered[offered["cost"] <= budget])
        assert reached.half_width <= singles["width_after"].min() * (1 + 1e-9) or not bought
    assert choose(design, offered, 0.1)[0] == []


def test_what_narrows_less_than_a_hundredth_is_not_bought(part):
    design = design_for(part, parse_target("exponent"), "fid")
    assert choose(design, cells(part, ["S/8", "S/4"], ANOTHER_SEED), 100.0)[0] == []


def test_what_cannot_be_determined_is_endlessly_wide_until_a_run_determines_it(paper):
    """Of one patch size only, the exponent of tokens is not determined; a model of another patch determines it."""
    points = law(paper, "fid").points
    same = list(points[points["patch"] != 8]["model"])
    design = design_for(held_out(paper, same), parse_target("exponent"), "fid")
    seen = design.points.merge(points[["model", "params", "tokens"]], on="model")
    fit = dataclasses.replace(ParamsTokens(interaction=False, centre=(18.0, 3.0)).fit(points))
    stuck = dataclasses.replace(design, target=parse_target("tokens_exponent"), fit=fit, points=seen)
    assert np.isinf(stuck.half_width)
    assert np.isfinite(stuck.after(NEW_MODEL, cells(paper, ["B/2"])).half_width)
    assert choose(stuck, cells(paper, ["B/2", "L/2"]), 30.0)[0] == [0]


def test_too_few_models_for_a_law_are_refused(planted):
    models = [f"{s}/{p}" for s in ("S", "B", "L", "XL") for p in (8, 4, 2)]
    with pytest.raises(CannotFitError, match="needs at least 6 models"):
        design_for(planted.results(stop=models[5:]), parse_target("forecast:XL/2"), "fd_conv")


def test_samples_of_all_models_are_one_candidate(part):
    row = pd.DataFrame([{"kind": MORE_SAMPLES, "model": "all", "samples_factor": 16.0, "cost": 2.0}])
    design = design_for(part, parse_target("exponent"), "fid")
    found = rank(design, row).iloc[0]
    assert 0 < found["narrows"] < 1e-3 * design.half_width  # FID-50K is seeds' noise, not sampling's
