"""Schedules and respacing equal the reference implementation's in float64, to the bit."""

import numpy as np
import pytest

from dit_grid.model import Schedule

SPACINGS = ["250", "16", "32", "64", "128", "256", "50", "100", "1000", "1", "2", "10,15,20"]
EVEN = ["ddim25", "ddim50", "ddim100", "ddim250"]


def test_every_table_of_the_linear_schedule_is_the_references(golden):
    # The reference reaches its full schedule through respacing to all of its steps, which rounds betas once more.
    schedule = Schedule.linear().respace(1000)
    file = golden("schedules")
    tables = [key for key in file if key.startswith("linear1000.")]
    assert len(tables) == 13
    for key in tables:
        np.testing.assert_array_equal(getattr(schedule, key.removeprefix("linear1000.")), file[key], err_msg=key)


def test_the_cosine_schedule_is_the_references(golden):
    np.testing.assert_array_equal(Schedule.cosine().respace(1000).betas, golden("schedules")["cosine1000.betas"])


@pytest.mark.parametrize("spacing", SPACINGS + EVEN)
def test_respacing_keeps_the_references_steps_and_noise_levels(golden, spacing):
    file, name = golden("schedules"), spacing.replace(",", "_")
    schedule = Schedule.linear().respace(spacing)
    np.testing.assert_array_equal(schedule.timestep_map, file[f"respaced.{name}.timestep_map"])
    np.testing.assert_array_equal(schedule.betas, file[f"respaced.{name}.betas"])
    if spacing != "1":  # the reference has no log-variance for a single step; ours is its beta's
        expected = file[f"respaced.{name}.posterior_log_variance_clipped"]
        np.testing.assert_array_equal(schedule.posterior_log_variance_clipped, expected)


def test_a_single_step_has_finite_tables():
    assert np.isfinite(Schedule.linear().respace(1).posterior_log_variance_clipped).all()


def test_respacing_twice_remembers_the_full_schedules_timesteps():
    twice = Schedule.linear().respace("ddim250").respace("ddim50")
    np.testing.assert_array_equal(twice.timestep_map, np.arange(0, 1000, 20))


@pytest.mark.parametrize(
    ("spacing", "words"),
    [
        ("ddim64", "no whole stride"),
        ("ddim", "ddim50"),
        ("fast", "is not a count"),
        ("10,x", "is not a count"),
        (0, "between 1 and 1000"),
        (1001, "between 1 and 1000"),
        ("501,1", "between 1 and 500"),
    ],
)
def test_a_spacing_that_cannot_be_is_refused(spacing, words):
    with pytest.raises(ValueError, match=words):
        Schedule.linear().respace(spacing)


def test_equal_schedules_are_one_compiled_program():
    assert Schedule.linear() == Schedule.linear()
    assert hash(Schedule.linear().respace(50)) == hash(Schedule.linear().respace(50))
    assert Schedule.linear() != Schedule.cosine()


def test_a_schedule_that_leaves_no_signal_is_refused_and_not_computed_with():
    with pytest.raises(ValueError, match="more than 20 steps"):
        Schedule.linear(20)
    assert np.isfinite(Schedule.linear(21).sqrt_recip_alphas_cumprod).all()
