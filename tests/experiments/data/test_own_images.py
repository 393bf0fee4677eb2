"""A run on images of one's own goes on after training: it is sampled and measured from wherever its data lie."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.evaluation.sample_scoring import check_scaling
from dit_grid.experiments.evaluation.seen_samples import Decoder
from dit_grid.experiments.running.later_evaluation import measure
from dit_grid.experiments.running.training_run import train
from dit_grid.experiments.sampling.pictures import asked_labels, draw, run_spec, source_of_run
from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.experiments.training.context import Context
from dit_grid.experiments.training.update import Program
from dit_grid.orchestrator.planning.work import record_runs

SPEC = {
    "name": "own", "grid": {"model.size": ["S"], "model.patch": [4]},
    "sizes": {"S": {"depth": 1, "width": 32, "heads": 2}},
    "model": {"image_size": 8, "channels": 3, "classes": 2}, "data": {"name": "flowers", "path": "mine", "heldout": 3},
    "train": {"steps": 3, "batch": 4, "log_every": 3},  # which the default checkpoint_every is no multiple of
    "evaluate": {"every": 3, "settings": [{"metrics": ["heldout_loss"], "steps": 3}]},
    "execution": {"resources": {"cpus": 1}, "checkpoint_every": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 10, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        file = root / "mine" / ("ant", "bee")[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    (root / "spec.yaml").write_text(json.dumps(SPEC | {"store": str(root / "store")}))
    before = os.getcwd()
    os.chdir(root)  # the spec's path is relative, as people write it
    try:
        spec = load_spec("spec.yaml")
        store = Store.create(spec.store)
        record_runs(spec, store)
        train(spec.networks[0], Context(store=store))
    finally:
        os.chdir(before)
    return root, store, spec.runs[0].id


def test_samples_and_scores_are_had_from_anywhere(trained, monkeypatch):
    root, store, run_id = trained
    monkeypatch.setattr(Program, "init", None)  # they take the state that was kept, and make none
    assert run_spec(store, run_id).data.path == str(root / "mine")
    source = source_of_run(store, run_id)
    labels = asked_labels(source, source.setting.model_copy(update={"labels": "data"}), 4)
    setting = source.setting.model_copy(update={"steps": 2})
    assert next(draw(source, setting, labels, np.arange(4))).shape == (4, 8, 8, 3)
    rows = measure(store, run_id, None, run_spec(store, run_id).evaluate.settings, {})
    recorded = store.evals().to_pylist()
    assert [row["value"] for row in rows] == [row["value"] for row in recorded]  # as in the training


def test_data_that_moved_are_named(trained):
    root, store, run_id = trained
    (root / "mine").rename(root / "moved")
    try:
        settings = run_spec(store, run_id).evaluate.settings
        with pytest.raises(DataError, match=r"mine"):
            measure(store, run_id, None, settings, {})
        assert measure(store, run_id, None, settings, {}, data=str(root / "moved"))[0]["value"] > 0
    finally:
        (root / "moved").rename(root / "mine")


def test_a_decoder_of_another_scale_is_refused():
    decoder = Decoder(lambda latents: latents, "ab" * 32, 0.13025)
    check_scaling(decoder, 0.13025, "sdxl")
    with pytest.raises(DataError, match=r"decoder sdxl: its scaling factor is 0\.13025, but .* multiplied by 0\.18215"):
        check_scaling(decoder, 0.18215, "sdxl")
