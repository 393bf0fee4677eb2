"""A trainer of one's own whose store is at gs://: its checkpoints go there and come back, over HTTP."""

import pytest

from dit_grid.experiments.store import Store
from dit_grid.experiments.trainers.attempt import train
from dit_grid.experiments.training.checkpoint_list import live_checkpoints
from dit_grid.experiments.training.context import Context

pytestmark = pytest.mark.slow


def test_a_killed_run_goes_on_from_its_checkpoint_in_the_bucket(bucket, toy, numbers, tmp_path):
    store, run = Store.create("gs://bucket/own"), toy(wrong="SIGKILL")
    assert train(run, Context(store)).outcome == "lost"
    assert [step for step, _ in live_checkpoints(store, run.id)] == [10, 20]
    assert train(run, Context(store)).outcome == "done"
    assert store.attempts(run.id)[-1].attempt.resume_step == 20
    whole = Store.create(str(tmp_path / "whole"))
    train(toy(wrong=""), Context(whole))
    found, wanted = ([[{**row, "run_id": ""} for row in rows] for rows in numbers(one)] for one in (store, whole))
    assert found == wanted
