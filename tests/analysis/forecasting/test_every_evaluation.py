"""Models that were not run, forecast from every evaluation along training."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dit_grid.analysis.forecasting.candidates import named_models
from dit_grid.analysis.forecasting.every_evaluation import from_every_evaluation
from dit_grid.analysis.forecasting.prediction import costlier_than_cheapest
from dit_grid.analysis.laws.scaling import law

FLOOR = 4.0


@pytest.fixture(scope="module")
def floored(planted):
    """Twelve models measured four times each, whose law has a floor that the cheap ones hardly show."""
    results = planted.results(noise=0.05)
    at = results.evals["metric"] == "fd_conv"
    return replace(results, evals=results.evals.assign(value=results.evals["value"].where(~at, lambda v: v + FLOOR)))


def dearest(results, known=9):
    return named_models(costlier_than_cheapest(law(results, "fd_conv"), known), results)


def forecast(results, asked):
    found = from_every_evaluation(results, asked, "fd_conv")
    assert found is not None
    return found


def test_the_dearest_models_are_told_from_the_cheap_ones_evaluations(floored):
    asked = dearest(floored)
    found = forecast(floored, asked)
    assert list(found["model"]) == list(asked["model"])
    assert np.abs(found["predicted"] / found["observed"] - 1).mean() < 0.2
    assert ((found["low"] <= found["observed"]) & (found["observed"] <= found["high"])).all()


def test_what_was_asked_about_is_not_looked_at(floored):
    asked = dearest(floored)
    wrong = floored.evals["value"].where(~floored.evals["model"].isin(asked["model"]), 1e6)
    seen, unseen = (
        forecast(results, asked) for results in (floored, replace(floored, evals=floored.evals.assign(value=wrong)))
    )
    assert seen["predicted"].tolist() == unseen["predicted"].tolist()


def test_of_runs_measured_often_enough_late_in_training_the_early_evaluations_are_not_looked_at(floored):
    asked, evals = dearest(floored), floored.evals
    early = evals["step"] < evals["step"].max() / 2
    firsts = evals[evals["step"] == evals["step"].min()].assign(step=evals["step"].max() // 4)
    later = evals[~early]
    assert later["step"].nunique() >= 3
    seen, unseen = (
        forecast(replace(floored, evals=pd.concat([firsts.assign(value=firsts["value"] * by), later])), asked)
        for by in (1, 100)
    )
    assert seen["predicted"].tolist() == unseen["predicted"].tolist()


def test_without_evaluations_along_training_or_where_more_is_better_there_is_none(floored):
    asked = dearest(floored)
    ends = replace(floored, evals=floored.evals[floored.evals["step"] > 1000])
    assert from_every_evaluation(ends, asked, "fd_conv") is None
    assert from_every_evaluation(floored, asked, "accuracy") is None
