"""A law by its axis and form finds what was planted, on the runs that were asked for, and says why where it cannot."""

import numpy as np
import pytest

from dit_grid.analysis.fits import CannotFitError
from dit_grid.analysis.laws.asked_law import asked_law
from dit_grid.analysis.results.chosen_runs import NoSuchRunsError, chosen_runs
from dit_grid.analysis.results.frames import assemble

ALONG_STEPS = -0.6
"""How the planted distance falls along training; tests/analysis/conftest.py plants it."""


def exponent(found, name="all models"):
    return found.fits[name].params["exponent"].value


def with_values(planted, value, **settings):
    """Results of one patch whose distance is `value` of parameters, images seen and training compute in GMACs."""
    runs, train, evals, events, states = planted.tables(patches=(4,), **settings)
    facts = runs.set_index("run_id")
    of = evals["run_id"].map
    images = evals["step"] * of(facts["batch"])
    compute = 3 * images * of(facts["forward_macs"]) / 1e9  # an update is three forward passes
    distances = evals["metric"] == "fd_conv"
    evals.loc[distances, "value"] = value(of(facts["params"]), images, compute)[distances]
    return assemble(runs, train, evals, events, states)


def test_the_law_along_the_forward_pass_is_the_grids_own(planted):
    assert exponent(asked_law(planted.results(), "fd_conv")) == pytest.approx(planted.exponent, rel=1e-9)


def test_every_model_has_its_law_along_its_steps(planted):
    found = asked_law(planted.results(), "fd_conv", "steps")
    assert len(found.fits) == 12
    assert [exponent(found, name) for name in found.fits] == pytest.approx([ALONG_STEPS] * 12, rel=1e-9)


def test_the_law_of_training_compute_is_that_of_the_frontier(planted):
    results = planted.results()
    points = asked_law(results, "fd_conv", "training").points
    rows = results.evals[results.evals["metric"] == "fd_conv"]
    assert (points["value"].diff()[1:] < 0).all()
    for point in points.to_dict("records"):
        cheaper = rows[rows["train_gmacs"] <= point["train_gmacs"]]
        assert cheaper["value"].min() == pytest.approx(point["value"])
    exact = with_values(planted, lambda params, images, compute: 7 * compute**-0.3)
    assert exponent(asked_law(exact, "fd_conv", "training")) == pytest.approx(-0.3, rel=1e-6)


def test_loss_in_parameters_and_images_is_found_whole(planted):
    results = with_values(planted, lambda params, images, compute: 1.5 + 400 / params**0.34 + 410 / images**0.28)
    found = asked_law(results, "fd_conv", form="powers").fits["L(N, D)"]
    values = {name: one.value for name, one in found.params.items()}
    assert found.status == "converged"
    assert 0.34 in [pytest.approx(value, rel=1e-3) for value in values.values()]
    assert 0.28 in [pytest.approx(value, rel=1e-3) for value in values.values()]


def test_the_best_size_for_a_budget_grows_as_planted(planted):
    """ln distance is a parabola in ln params about k·compute^0.5; curves are cut between steps, so to 5 %."""
    sizes = {str(width): (width, 3) for width in (32, 38, 45, 54, 64, 76, 90)}
    results = with_values(
        planted, lambda params, images, compute: np.exp(np.log(params / (14_700 * compute**0.5)) ** 2), sizes=sizes
    )
    found = asked_law(results, "fd_conv", form="isoflop")
    assert exponent(found, "best params") == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("metric", "x", "form", "said"),
    [
        ("accuracy", "forward", "isoflop", "accuracy has no logarithm"),
        ("fd_conv", "forward", "isoflop", "no compute at which 4 models were measured"),
    ],
)
def test_a_law_that_cannot_be_had_says_why(planted, metric, x, form, said):
    with pytest.raises(CannotFitError, match=said):
        asked_law(
            planted.results(sizes={"S": (32, 2), "B": (320, 3), "L": (3200, 4), "XL": (32_000, 5)}, patches=(4,)),
            metric,
            x,
            form,
        )


@pytest.mark.parametrize(
    ("conditions", "models"),
    [
        (["patch=2"], {"S/2", "B/2", "L/2", "XL/2"}),
        (["model=XL/*", "patch=4"], {"XL/4"}),
        (["batch=128.0", "size=S"], {"S/2", "S/4", "S/8"}),
    ],
)
def test_only_the_runs_that_were_asked_for_are_there(planted, conditions, models):
    results = planted.results()
    found = chosen_runs(results, conditions)
    assert set(found.runs["model"]) == set(found.evals["model"]) == models
    assert chosen_runs(results, []) is results


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("patch", "give KEY=VALUE"),
        ("pach=2", "no key 'pach' .did you mean 'patch'"),
        ("patch=3", "no run has it; there patch is 2, 4, 8"),
    ],
)
def test_a_condition_that_is_none_says_so(planted, condition, said):
    with pytest.raises(NoSuchRunsError, match=said):
        chosen_runs(planted.results(), [condition])
