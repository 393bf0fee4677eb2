"""A law of initial weights, of values at chance, or of no effect says so, in the law and in the report's first line."""

import json

import pytest

from dit_grid.analysis import law
from dit_grid.analysis.report.words import headline
from dit_grid.analysis.results.frames import assemble


def results(planted, value, metric="heldout_loss", decay=0.5, steps=2000, weighed=None, **row):
    """Twelve models whose final value is `value(gmacs)`."""
    runs, train, evals, events, states = planted.tables()
    ema = {"decay": decay, "warmup": False}
    spec = {"train": {"steps": steps, "ema": ema}, "diffusion": {"prediction": "epsilon"} | (weighed or {})}
    runs["spec"] = json.dumps(spec)
    evals = evals[evals["metric"] == "fd_conv"].assign(metric=metric, **row)
    gmacs = dict(zip(runs["run_id"], runs["forward_macs"] / 1e9, strict=True))
    evals["value"] = [value(gmacs[run]) for run in evals["run_id"]]
    return assemble(runs, train, evals, events, states)


@pytest.mark.parametrize(
    ("weighed", "chance"), [({}, True), ({"weight": "likelihood"}, False), ({"loss": "x0"}, False)]
)
def test_a_loss_in_other_units_is_not_held_against_that_of_the_noise(planted, weighed, chance):
    found = law(results(planted, lambda g: 1.5 * g**-0.05, weighed=weighed), "heldout_loss")
    assert any("learned nothing" in caution for caution in found.cautions) == chance


def test_a_law_of_initial_weights_says_so(planted):
    """EMA 0.9999 over 60 steps: 99.4 % of what is measured is the network before training."""
    found = law(results(planted, lambda g: 0.9994 * g**-0.000333, decay=0.9999, steps=60), "heldout_loss")
    average, chance, effect = found.cautions
    assert "99.4 % of the average are the initial weights" in average
    assert "12 of 12 runs is what a network has that learned nothing" in chance
    assert "the exponent says nothing of compute" in effect
    assert all(f"  CAUTION: {caution}" in found.to_text() for caution in found.cautions)
    assert headline(found).startswith("Compute makes no difference to the Held-out loss: -0.")


def test_a_law_that_says_something_has_no_caution(planted):
    found = law(results(planted, lambda g: 0.3 * g**-0.1), "heldout_loss")
    assert found.cautions == ()
    assert headline(found).startswith("Ten times the compute divides the Held-out loss by 1.3")


@pytest.mark.parametrize(
    ("metric", "value", "chance"),
    [("accuracy", 0.1, True), ("accuracy", 0.3, False), ("inception_score", 1.01, True), ("recall", 0.0, True),
     ("recall", 0.2, False), ("fd_conv", 1.0, False)],
)  # fmt: skip
def test_a_metric_at_chance_is_said(planted, metric, value, chance):
    """Of ten classes a tenth is right by chance; an Inception score of 1 is of images that all look alike."""
    found = law(results(planted, lambda g: value + 0.0 * g, metric=metric), metric)
    assert any("learned nothing" in caution for caution in found.cautions) == chance
