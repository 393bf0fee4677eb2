"""Reasons not to believe a law: each is said where it is planted, and none where nothing is wrong."""

import numpy as np
import pytest

from dit_grid.analysis import law
from dit_grid.analysis.figures.material import Material
from dit_grid.analysis.laws.doubts import doubts
from dit_grid.analysis.results.frames import assemble


def doubted(tables, change=None):
    runs, train, evals, events, states = tables
    evals = evals if change is None else change(evals, runs)
    results = assemble(runs, train, evals, events, states)
    return doubts(law(results), Material(results, {}).laws)


def test_a_law_in_which_nothing_is_wrong_has_no_doubts(planted):
    assert doubted(planted.tables(noise=0.1, seeds=(0, 1, 2))) == ()


def test_residuals_that_go_by_patch_are_said_with_how_far_each_is_off(planted):
    def shifted(evals, runs):
        patch = evals["run_id"].map(runs.set_index("run_id")["patch"])
        off = np.where(evals["metric"] == "fd_conv", np.where(patch == 4, 0.5, 1.0), 1.0)
        return evals.assign(value=evals["value"] * off)

    (said,) = [line for line in doubted(planted.tables(noise=0.02), shifted) if "residuals" in line]
    assert said.startswith("residuals go by patch size (patch 2 at ×1.2")
    assert "patch 4 at ×0.6" in said


def test_another_metric_at_chance_or_the_other_way_is_said(planted):
    def chance(evals, runs):
        return evals.assign(value=evals["value"].where(evals["metric"] != "accuracy", 0.1))

    def opposite(evals, runs):
        worse = evals.groupby("metric")["value"].transform("max") - evals["value"]
        return evals.assign(value=evals["value"].where(evals["metric"] != "accuracy", worse))

    (said,) = doubted(planted.tables(), chance)
    assert said.startswith("another metric disagrees: accuracy of 12 of 12 runs is what a network has that learned")
    assert any(line.startswith("metrics disagree: with compute fd_conv gets clearly better, Accuracy")
               for line in doubted(planted.tables(), opposite))  # fmt: skip


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_doubts_do_not_depend_on_the_unit_of_the_metric(planted, scale):
    def scaled(evals, runs):
        return evals.assign(value=evals["value"] * np.where(evals["metric"] == "fd_conv", scale, 1.0))

    assert doubted(planted.tables(noise=0.1, seeds=(0, 1, 2)), scaled) == ()
