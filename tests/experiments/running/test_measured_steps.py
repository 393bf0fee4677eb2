"""The steps at which a run is measured are the same by its spec and by what the store keeps of it."""

from collections.abc import Collection

import pytest

from dit_grid.experiments.running.measured_steps import MeasuredSteps
from dit_grid.experiments.running.owed_evaluations import evaluation_steps, settings_due
from dit_grid.experiments.spec.run import RunSpec

EVERY, END = {"metrics": ["heldout_loss"]}, {"metrics": ["accuracy"], "when": "end"}


def run_of(every, steps, settings):
    return RunSpec.model_validate({
        "model": {"size": "S", "patch": 4, "image_size": 8, "width": 8, "depth": 1, "heads": 2},
        "data": {"name": "digits"},
        "train": {"steps": steps, "log_every": 5},
        "evaluate": {"every": every, "settings": settings},
        "execution": {"checkpoint_every": 10},
    })  # fmt: skip


@pytest.mark.parametrize(
    ("every", "settings", "wanted"),
    [
        (10, [EVERY], [10, 20, 25]), (5, [EVERY, END], [5, 10, 15, 20, 25]), (40, [EVERY], [25]), (25, [EVERY], [25]),
        (10, [END], [25]), (10, [], []),
    ],
)  # fmt: skip
def test_steps_are_those_at_which_a_setting_is_due(every, settings, wanted):
    run = run_of(every, 25, settings)
    stored: Collection[int] = MeasuredSteps.stored(run.identity()) or []
    assert evaluation_steps(run) == wanted == [step for step in range(1, 30) if settings_due(run, step)]
    assert (list(stored), len(stored)) == (wanted, len(wanted))
    assert [step for step in range(-30, 60) if step in stored] == wanted


@pytest.mark.parametrize("spec", [
    {}, {"train": {"steps": 25}}, {"train": {"steps": 25}, "evaluate": None},
    {"train": {"steps": 25}, "evaluate": {"every": 0, "settings": [{}]}},
    {"train": {"steps": "25"}, "evaluate": {"every": 5, "settings": [{}]}},
    {"train": {"steps": 25}, "evaluate": {"every": 5, "settings": [7]}},
])  # fmt: skip
def test_a_damaged_spec_says_nothing(spec):
    assert MeasuredSteps.stored(spec) is None
