"""Forecasts from part of a grid: right on planted data, and back-tested on the paper's table."""

import dataclasses

import numpy as np
import pytest

from dit_grid.analysis.fits import CannotFitError, LogLinear, PerGroup, PowerLaw
from dit_grid.analysis.forecasting.candidates import named_models
from dit_grid.analysis.forecasting.prediction import forecast
from dit_grid.analysis.paper.selections import twelve

CHEAPEST = ["S/8", "S/4", "B/8", "L/8", "B/4", "S/2", "XL/8", "L/4", "B/2", "XL/4", "L/2"]


def paper_without(models):
    results = twelve()
    return dataclasses.replace(results, evals=results.evals[~results.evals["model"].isin(models)])


def test_unfinished_models_are_forecast_with_their_cost(planted):
    found = forecast(planted.results(stop=("XL/2", "L/2")))
    table = found.predictions.set_index("model")
    assert set(table.index) == {"L/2", "XL/2"}
    truth = planted.scale * table["gmacs"] ** planted.exponent
    np.testing.assert_allclose(table["predicted"], truth, rtol=1e-6)  # the planted law without noise
    np.testing.assert_allclose(table["train_gmacs"], 3 * 128 * 2000 * table["gmacs"])


@pytest.mark.parametrize("measured", [6, 8, 10])
def test_on_the_paper_every_part_of_the_grid_picks_the_same_form(measured):
    found = forecast(paper_without([*CHEAPEST[measured:], "XL/2"]), metric="fid")
    assert found.scores["law"].iloc[0] == "params × tokens"


def test_nine_cheapest_models_predict_the_other_three_within_three_per_cent():
    held = ["XL/2", "L/2", "XL/4"]
    found = forecast(paper_without(held), metric="fid")
    table = found.predictions.set_index("model")
    truth = twelve().evals.set_index("model")["value"][table.index]
    assert (table["predicted"] / truth - 1).abs().mean() == pytest.approx(0.030, abs=5e-4)
    assert ((table["low"] < truth) & (truth < table["high"])).all()
    assert "L/2: " in found.to_text()


def test_a_measured_model_is_kept_out_of_its_own_forecast_and_shown_beside_it():
    """Without XL/2 the interaction form predicts 19.25 and a power law in compute 26.5; Table 4 has 19.47."""
    results = twelve()
    found = forecast(results, named_models(["XL/2"], results), "fid")
    row = found.predictions.iloc[0]
    assert (found.fit.n, found.fit.law.name) == (11, "params × tokens")
    assert row["observed"] == pytest.approx(19.47)
    assert row["predicted"] == pytest.approx(19.25, abs=0.005)
    assert found.by_form.loc["power law", "XL/2"] == pytest.approx(26.5, abs=0.05)
    assert row["decades"] == pytest.approx(np.log10(118.64 / 80.71), rel=1e-3)  # past L/2, the dearest that is left
    assert "off by -1.1 %" in found.to_text()
    assert "XL/2: the three best forms disagree" in found.to_text()


def test_a_form_that_cannot_say_a_model_is_passed_over(planted):
    """One power law per patch may predict best, and says nothing of a patch that was never run."""
    results = planted.results()
    found = forecast(results, named_models(["XL/1"], results), forms=(PerGroup("params"), PowerLaw()))
    assert found.fit.law.name == "power law"
    assert found.by_form["XL/1"].isna().sum() == 1
    assert found.predictions["decades"].iloc[0] > 0.5


def test_forms_that_all_fail_forward_are_one_line(planted):
    results = planted.results()
    with pytest.raises(CannotFitError, match="got 12, and no form can be fitted to half of them"):
        forecast(results, named_models(["XL/1"], results), forms=(LogLinear(),))  # below zero so far out


def test_five_models_are_too_few(planted):
    models = [f"{s}/{p}" for s in ("S", "B", "L", "XL") for p in (8, 4, 2)]
    with pytest.raises(ValueError, match="needs at least 6 models with a final fd_conv; got 5"):
        forecast(planted.results(stop=models[5:]))
