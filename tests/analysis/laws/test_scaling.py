"""The law at the end of a launch: right on planted data, and honest about what is missing, mixed or out of order."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dit_grid import analysis
from dit_grid.analysis.results.frames import assemble


def law(results, *settings) -> Any:
    """The law, for tests that know that it has a fit."""
    return analysis.law(results, *settings)


def test_planted_law_is_recovered_exactly_without_noise(planted):
    found = law(planted.results())
    assert found.fit.params["exponent"].value == pytest.approx(planted.exponent, rel=1e-9)  # float64 least squares
    assert np.exp(found.fit.params["ln_scale"].value) == pytest.approx(planted.scale, rel=1e-9)
    assert found.correlation.r == pytest.approx(-1, abs=1e-12)
    assert found.monotone == {8: True, 4: True, 2: True}
    assert found.missing == found.left_out == ()


def test_only_evaluations_at_the_last_step_count(planted):
    found = law(planted.results(stop=("XL/2", "S/8")))
    assert set(found.points["model"]).isdisjoint({"XL/2", "S/8"})
    assert found.fit.params["exponent"].value == pytest.approx(planted.exponent, rel=1e-9)
    assert found.missing == ("S/8 seed 0 (waiting)", "XL/2 seed 0 (waiting)")
    assert "Missing: S/8 seed 0 (waiting), XL/2 seed 0 (waiting)" in found.to_text()


def test_seeds_are_replicates_not_points(planted):
    results = planted.results(seeds=(0, 1, 2), noise=0.2)
    found = law(results)
    assert len(found.points) == found.fit.n == 12
    one = found.points.iloc[0]
    values = planted.results(seeds=(0, 1, 2), noise=0.2).evals
    values = values[(values["model"] == one["model"]) & (values["metric"] == "fd_conv") & (values["step"] == 2000)][
        "value"
    ]
    assert one["value"] == pytest.approx(np.exp(np.log(values).mean()), rel=1e-12)
    assert one["spread"] == pytest.approx(values.max() / values.min(), rel=1e-12)


def test_a_size_that_does_not_improve_is_named(planted):
    runs, train, evals, events, states = planted.tables()
    worse = (evals["run_id"] == "l-4-000000") & (evals["metric"] == "fd_conv")
    evals.loc[worse, "value"] *= 10
    found = law(assemble(runs, train, evals, events, states))
    assert found.monotone == {8: True, 4: False, 2: True}
    assert "NOT better with every size at patch 4." in found.to_text()


def test_models_of_another_design_are_left_out_and_named(planted):
    runs, train, evals, events, states = planted.tables()
    runs.loc[runs["model"] == "XL/2", "block"] = "in-context"
    found = law(assemble(runs, train, evals, events, states))
    assert found.left_out == ("xl-2-000000 (block in-context, not adaln-zero)",)
    assert found.fit.n == 11


@pytest.mark.parametrize("done", [0, 1, 2])
def test_too_few_models_give_text_and_no_fit(planted, done):
    models = [f"{s}/{p}" for s in ("S", "B", "L", "XL") for p in (8, 4, 2)]
    found = law(planted.results(stop=models[done:]))
    assert found.fit is None
    assert f"needs 3 models with a final fd_conv; {done} of 12 runs have one so far" in found.to_text()


def test_accuracy_is_a_line_in_log_compute_and_better_when_higher(planted):
    found = law(planted.results(), "accuracy")
    assert found.fit.params["slope"].low > 0
    assert found.monotone == {8: True, 4: True, 2: True}


def test_order_of_rows_does_not_matter(planted):
    tables = planted.tables(noise=0.2, seeds=(0, 1))
    shuffled: Any = [t.sample(frac=1, random_state=1) if isinstance(t, pd.DataFrame) else t for t in tables]
    assert law(assemble(*shuffled)).to_text() == law(assemble(*tables)).to_text()


def test_setting_says_what_was_sampled_or_that_nothing_was(tmp_path, planted):
    results = analysis.load(planted.store(tmp_path / "store"))
    assert law(results).setting == "step 2,000; ddim 25 steps, guidance 1, 1,797 images, ema weights"
    assert law(results, "heldout_loss").setting == "step 2,000; 297 images, ema weights"
