"""Forecasts from part of a grid: right on planted data, and back-tested on the paper's table."""

import dataclasses

import numpy as np
import pytest

from dit_grid.analysis.paper.report import twelve
from dit_grid.analysis.prediction import forecast

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


def test_five_models_are_too_few(planted):
    models = [f"{s}/{p}" for s in ("S", "B", "L", "XL") for p in (8, 4, 2)]
    with pytest.raises(ValueError, match="needs at least 6 models with a final fd_conv; got 5"):
        forecast(planted.results(stop=models[5:]))
