"""Headlines and headline numbers: no effect is never said as a factor of 1, no number as -0.000, each with its unit."""

import re

import numpy as np
import pytest

from dit_grid.analysis import law
from dit_grid.analysis.report.words import facts, headline
from dit_grid.analysis.results.frames import assemble


def law_of(planted, change, metric="fd_conv"):
    runs, train, evals, events, states = planted.tables(noise=0.001)
    gmacs = evals["run_id"].map(runs.set_index("run_id")["forward_macs"]) / 1e9
    of = evals["metric"] == metric
    evals.loc[of, "value"] = change(evals["value"], gmacs)[of]
    return law(assemble(runs, train, evals, events, states), metric)


@pytest.mark.parametrize(
    ("exponent", "words"),
    [
        (-0.5, "Ten times the compute divides the Fréchet distance by 3.2 [3.2, 3.2]"),
        (0.5, "Ten times the compute multiplies the Fréchet distance by 3.2 [3.2, 3.2]"),
        (-0.02, "Ten times the compute lowers the Fréchet distance by 4.5 % [4."),
        (0.02, "Ten times the compute raises the Fréchet distance by 4.7 % [4."),
    ],
)
def test_a_small_factor_is_said_in_per_cent(planted, exponent, words):
    wobble = np.random.default_rng(0).normal(1, 1e-3, 10_000)
    found = law_of(planted, lambda value, gmacs: 0.2 * gmacs**exponent * wobble[: len(value)])
    assert headline(found).startswith(words)


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 1e5])
def test_a_slope_and_its_interval_show_their_digits_and_unit(planted, scale):
    wobble = np.random.default_rng(0).normal(1, 0.05, 10_000)
    found = law_of(
        planted, lambda value, gmacs: scale * (1 + np.log10(gmacs / 1e-5)) * wobble[: len(value)], "accuracy"
    )
    name, interval = (dict(facts(found))[key] for key in ("Slope", "95 % interval"))
    slope = found.fit.params["slope"]
    assert float(name.removesuffix(" a tenfold")) == pytest.approx(slope.value, rel=0.05)
    low, high = map(float, interval.removesuffix(" a tenfold").split(" to "))
    assert (low, high) == (pytest.approx(slope.low, rel=0.1), pytest.approx(slope.high, rel=0.1))
    assert not re.search(r"-?0\.0+\b(?!\d)", f"{name} {interval}")
    assert headline(found).startswith("Ten times the compute adds ")


def test_two_correlations_of_one_law_have_two_names(planted):
    from dit_grid.analysis.figures.material import Material
    from dit_grid.analysis.report.tables import metrics_table

    results = planted.results(noise=0.1)
    (of_logs,) = [name for name, _ in facts(law(results)) if name.startswith("Correlation")]
    assert of_logs == "Correlation, log GMACs and log fd_conv"
    assert "correlation of log GMACs and the value" in metrics_table(Material(results, {}).laws).titles
