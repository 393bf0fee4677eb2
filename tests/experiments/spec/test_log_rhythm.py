"""How often a run logs where nobody said: never a reason to refuse it, nor another id for a spec that was fine."""

import pytest

from dit_grid.experiments.spec.run import RunSpec, nearest_divisor


def run(train, every=20, **more):
    model = {"size": "S", "patch": 2, "image_size": 8, "width": 32, "depth": 2, "heads": 4}
    spec = {"model": model, "data": {"name": "digits"}, "train": train, "evaluate": {"every": every}}
    return RunSpec.model_validate(spec | more)


@pytest.mark.parametrize(
    ("steps", "every", "log"),
    [(60, 20, 20), (60, 60, 60), (60, 1000, 20), (61, 61, 61), (101, 101, 101), (400_000, 50_000, 100), (300, 100, 100),
     (1000, 250, 125), (1, 1, 1)],
)  # fmt: skip
def test_what_nobody_wrote_fits(steps, every, log):
    found = run({"steps": steps}, every)
    assert found.train.log_every == log
    assert found.execution.checkpoint_every % log == 0
    again = RunSpec.model_validate_json(found.model_dump_json())
    assert (again, again.id) == (found, found.id)


def test_what_somebody_wrote_is_held_to():
    with pytest.raises(ValueError, match="steps 60 is not a multiple of log_every 100"):
        run({"steps": 60, "log_every": 100})
    with pytest.raises(ValueError, match=r"evaluate\.every 20 is not a multiple of train.log_every 60"):
        run({"steps": 60, "log_every": 60})
    with pytest.raises(ValueError, match=r"checkpoint_every 50 is not a multiple of train\.log_every 20"):
        run({"steps": 60}, execution={"checkpoint_every": 50})


def test_where_the_usual_fits_the_id_is_as_ever():
    said = run({"steps": 400_000, "log_every": 100}, 50_000)
    assert run({"steps": 400_000}, 50_000).id == said.id


def test_the_nearest_divisor_is_by_ratio():
    assert [nearest_divisor(n, 100) for n in (1, 7, 200, 90, 1_000_003)] == [1, 7, 100, 90, 1]
