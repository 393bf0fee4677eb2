"""What a trainer says becomes the same rows, or the same refusal, whether it says them one by one or many at once."""

import contextlib
import math

import pytest

from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.store import Store
from dit_grid.experiments.trainers.checkpoints import OwnCheckpoints
from dit_grid.experiments.trainers.recorder import Recorder, RefusedError
from dit_grid.experiments.training.context import Context

SAID = [
    {"step": [1, 2, 4], "loss": [0.5, 0.25, 0.125], "steps_per_s": [10.0, 20.0, 40.0]},
    {"step": [1, 2], "loss": [1, 2]},
    {"step": [1, 2], "steps_per_s": [0, 2.0]},
    {"step": []},
    {"step": [1, 2, 3], "loss": [0.5, math.nan, 0.5]},
    {"step": [1, 2, 3], "loss": [0.5, 0.5, math.inf]},
    {"step": [1, 3, 2], "loss": [0.5, 0.5, 0.5]},
    {"step": [1, 1], "loss": [0.5, 0.5]},
    {"step": [0, 1], "loss": [0.5, 0.5]},
    {"step": [9, 10, 11], "loss": [0.5, 0.5, 0.5]},
    {"step": [1, 2.0], "loss": [0.5, 0.5]},
    {"step": [1, True], "loss": [0.5, 0.5]},
    {"step": [1, 2], "loss": [0.5, "low"]},
    {"step": [1, 2], "loss": [0.5, None]},
    {"step": [1, 2], "perplexity": [0.5, 0.5]},
]


@pytest.fixture
def recorded(tmp_path):
    """A function that says messages to a recorder with costs and a peak; returns rows, failure and the newest row."""

    def record(messages):
        run = TrainerRun.model_validate({
            "trainer": "t:train", "train": {"steps": 10}, "folder": str(tmp_path), "cost": {"train_gmacs": 5.0},
        })  # fmt: skip
        store = Store.create(str(tmp_path / f"store-{len(list(tmp_path.iterdir()))}"))
        attempt = store.begin_attempt(run.id, 0)
        checkpoints = OwnCheckpoints(store, attempt, None, 1)
        recorder = Recorder(run, Context(store, peak_flops_per_s=1e12), attempt, checkpoints)
        with contextlib.suppress(RefusedError):
            for message in messages:
                recorder.take({"do": "log", **message})
        recorder.finish()
        rows = store.train().drop_columns(["wall_unix_s"]).to_pylist()
        return rows, recorder.failure, recorder.newest, recorder.reached

    return record


@pytest.mark.parametrize("columns", SAID, ids=str)
def test_many_rows_at_once_are_what_they_are_one_by_one(recorded, columns):
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    assert recorded([columns]) == recorded(rows)


def test_many_rows_are_all_there_with_the_share_of_the_peak_that_each_used(recorded):
    rows, failure, _, reached = recorded([SAID[0]])
    assert failure is None
    assert [(row["step"], row["loss"]) for row in rows] == [(1, 0.5), (2, 0.25), (4, 0.125)]
    assert [row["mfu"] for row in rows] == pytest.approx([0.01, 0.02, 0.04])  # 2 FLOPs x 5e8 MACs a step / 1e12
    assert reached == 4


@pytest.mark.parametrize("name", ["perplexity", "run_id", "wall_unix_s"])
def test_a_column_that_a_trainer_of_any_language_may_not_log_is_its_mistake(recorded, name):
    rows, (kind, message), *_ = recorded([{"step": 1, "loss": 0.5}, {"step": 2, name: 0.5}])
    assert kind == "bad-input"
    assert message.startswith(f"log of step 2: no column '{name}'; it takes loss, mse, ")
    assert len(rows) == 1


@pytest.mark.parametrize("loss", [[0.5], 0.5])
def test_columns_that_are_not_of_one_length_are_refused(recorded, loss):
    rows, failure, *_ = recorded([{"step": [1, 2], "loss": loss}])
    assert failure == ("bad-input", "log: step is a list, so every column must be one, of the same length")
    assert rows == []
