"""Runs of the toy trainer, each in a store of its own."""

import shutil
from pathlib import Path

import pytest

from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.store import Store

TOY = Path(__file__).parents[2] / "toy_trainer.py"


@pytest.fixture
def store(tmp_path):
    return Store.create(str(tmp_path / "store"))


@pytest.fixture
def toy(tmp_path):
    """A function that returns a run of the toy trainer; what is given goes into its config."""
    shutil.copy(TOY, tmp_path / "toy_trainer.py")

    def run(trainer="toy_trainer:train", steps=40, **config):
        return TrainerRun.model_validate({
            "trainer": trainer, "config": {"width": 2, **config}, "train": {"steps": steps}, "folder": str(tmp_path),
            "execution": {"checkpoint_every": 10, "keep_checkpoints": 2},
        })  # fmt: skip

    return run


def numbers(store):
    """What must not depend on what happened on the way."""
    train = store.train().select(["run_id", "step", "loss"]).to_pylist()
    evals = store.evals().select(["run_id", "step", "metric", "protocol", "value", "samples"]).to_pylist()
    return train, evals


@pytest.fixture(name="numbers")
def numbers_fixture():
    return numbers
