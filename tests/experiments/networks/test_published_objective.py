"""A SiT file is told from a DiT file by what it says of itself, or by what is asked, and sampled accordingly."""

import argparse
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from dit_grid.experiments.metrics.dataset_metrics import SampleError
from dit_grid.experiments.networks.objectives import process_of
from dit_grid.experiments.networks.published import import_weights, load_dit, read_published
from dit_grid.experiments.networks.weight_files import Header, read_header, write_weights
from dit_grid.experiments.sampling.pictures import draw, process_for, source_of_file
from dit_grid.experiments.spec.objective import DiffusionSpec
from dit_grid.model import DiTConfig, Flow, sample_chunks
from dit_grid.model.abstract import abstract_dit
from dit_grid.model.weights import WeightsError, to_tensors

SMALL = DiTConfig(8, 4, 32, 1, 2, channels=1, classes=5)
SIT = {"model": "SiT-S/4", "path_type": "Linear", "prediction": "velocity", "loss_weight": None, "train_eps": None}
VELOCITY = DiffusionSpec(path="linear", prediction="velocity")


@pytest.fixture
def tensors():
    """A small network's tensors under the published names, noise in every one."""
    draw = np.random.default_rng(0)
    _, shapes = abstract_dit(SMALL)
    drawn = jax.tree.map(lambda leaf: np.float32(0.15) * draw.standard_normal(leaf.shape, np.float32), shapes)
    return to_tensors(SMALL, drawn)


@pytest.fixture
def checkpoint(tmp_path, torch_writing, tensors):
    """Writes a training checkpoint with these arguments as torch.save does."""

    def write(arguments, name="0400000.pt"):
        content = {"model": {}, "ema": tensors, "args": argparse.Namespace(**arguments)}
        (tmp_path / name).write_bytes(torch_writing.torch_bytes(content))
        return tmp_path / name

    return write


def trained_on(path, prediction=None, on=None):
    """What the file is sampled by; `prediction` and the path `on` are asked for."""
    return load_dit(path, objective={"path": on, "prediction": prediction}, heads=2)[1]


def test_the_files_own_arguments_decide(checkpoint):
    assert read_published(checkpoint(SIT)).objective == {"path_type": "Linear", "prediction": "velocity"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trained_on(checkpoint(SIT)) == VELOCITY
    noise = {"path_type": "VP", "prediction": "noise", "loss_weight": "velocity"}
    expected = DiffusionSpec(path="vp", prediction="epsilon", weight="velocity")
    assert trained_on(checkpoint(SIT | noise)) == expected
    assert process_of(noise, learn_sigma=False) == expected.model_copy(update={"variance": "fixed-small"})
    assert trained_on(checkpoint({"model": "DiT-XL/2", "prediction": "epsilon"})) == DiffusionSpec()
    # What is asked may repeat it, and nothing else.
    assert trained_on(checkpoint(SIT), "velocity", "linear") == VELOCITY
    assert trained_on(checkpoint(SIT | noise), "noise", "vp") == expected
    for said, asked, message in (
        (SIT, ("score", "gvp"), r"pt: was trained on velocity, linear path, as it says itself, not on score, gvp path"),
        ({"prediction": "epsilon"}, ("velocity", "linear"), r"on DiT's noise prediction, as it says itself, not on v"),
        ({"predict_xstart": True}, ("velocity", "linear"), r"on predict_xstart True, as it says itself, not on velo"),
    ):
        with pytest.raises(WeightsError, match=message):
            trained_on(checkpoint(said), *asked)


@pytest.mark.parametrize(
    ("arguments", "asked", "message"),
    [
        ({"model": "SiT-XL/2"}, {}, r"0400000\.pt: goes by the name SiT-XL/2, and does not say .*: add --path linear"),
        (None, {}, r"goes by the name SiT-XL-2-256x256\.safetensors, and does not say .*: add --path linear"),
        (None, {"path": "linear"}, r"both are to be said: add --prediction velocity, score or noise"),
        (None, {"prediction": "score"}, r"both are to be said: add --path linear, gvp or vp"),
    ],
)
def test_an_objective_that_is_not_known_is_never_guessed(checkpoint, tensors, tmp_path, arguments, asked, message):
    if arguments is None:
        path = tmp_path / "SiT-XL-2-256x256.safetensors"
        save_file(tensors, path)
    else:
        path = checkpoint(arguments)
    with pytest.raises(WeightsError, match=message):
        load_dit(path, objective=asked, heads=2)
    with pytest.raises(WeightsError, match=message):
        import_weights(path, tmp_path / "weights", heads=2, objective=asked)
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"prediction": "v"}, r"says: prediction v, path_type Linear; .* known are path_type Linear, GVP and VP"),
        ({"path_type": None}, r"says: prediction velocity; "),
        ({"path_type": "cosine"}, r"says: prediction velocity, path_type cosine"),
        ({"noise_schedule": "cosine"}, r"says: .*noise_schedule cosine"),
    ],
)
def test_an_objective_that_is_not_sampled_here_is_kept_and_refused_by_name(checkpoint, tmp_path, said, words):
    path = checkpoint(SIT | said)
    imported = import_weights(path, tmp_path / "weights", heads=2)
    assert imported.network.startswith("DiT-1x32/4, ")
    for file in (path, Path(imported.written)):
        with pytest.raises(WeightsError, match=words):
            load_dit(file, heads=2)


@pytest.mark.filterwarnings("ignore:.*does not say what its network predicts")
def test_a_file_that_says_nothing_is_dits_unless_asked(checkpoint, tensors, tmp_path):
    path = tmp_path / "sitting.safetensors"
    save_file(tensors, path)
    assert trained_on(path) == DiffusionSpec()
    assert trained_on(path, "velocity", "linear") == VELOCITY
    # Neither does the name of a network say what somebody trained it on.
    assert trained_on(checkpoint({"model": "DiT-XL/2"})) == DiffusionSpec()
    assert trained_on(checkpoint({"model": "DiT-XL/2"}), "velocity", "linear") == VELOCITY


def test_what_was_asked_at_the_import_is_remembered(tensors, tmp_path):
    path = tmp_path / "SiT-XL-2-256x256.safetensors"
    save_file(tensors, path)
    asked = {"path": "gvp", "prediction": "score"}
    imported = import_weights(path, tmp_path / "weights", heads=2, objective=asked)
    assert trained_on(Path(imported.written)) == DiffusionSpec(path="gvp", prediction="score")
    again = import_weights(Path(imported.written), tmp_path / "again")
    assert again.objective == imported.objective == {"path_type": "gvp", "prediction": "score"}


def test_an_imported_velocity_checkpoint_is_sampled_along_its_flow(checkpoint, tmp_path):
    imported = import_weights(checkpoint(SIT), tmp_path / "weights", heads=2)
    assert imported.network == "SiT-1x32/4 (velocity, linear path), 8 x 8 x 1 latents, 5 classes"
    assert Path(imported.written).name.startswith("sit-1x32-4-")
    header = read_header(Path(imported.written))
    assert header is not None
    assert header.objective == {"path_type": "Linear", "prediction": "velocity"}

    source = source_of_file(Path(imported.written), vae=None)
    assert (source.setting.sampler, source.setting.steps, source.objective) == ("sde-euler", 250, VELOCITY)
    setting = source.setting.model_copy(update={"sampler": "ode-heun", "steps": 5, "guidance": 1.5})
    labels, numbers = np.array([1, 3], np.int32), np.arange(2)
    images = np.concatenate(list(draw(source, setting, labels, numbers)))
    options: dict[str, Any] = {"sampler": "ode-heun", "guidance": 1.5, "guidance_channels": 3, "null_label": 5}
    expected = sample_chunks(source.network, Flow(steps=5), labels, jax.random.key(0), chunk=2, **options)
    found = np.clip((np.concatenate(list(expected)) + 1) * 127.5, 0, 255)
    assert np.abs(images - found).max() <= 1  # rounded to 8 bits
    with pytest.raises(SampleError, match=r"ddpm: does not go with path linear; use ode-euler, ode-heun, sde-euler"):
        list(draw(source, setting.model_copy(update={"sampler": "ddpm"}), labels, numbers))
    with pytest.raises(SampleError, match=r"ode-heun: does not go with the discrete process; use ddpm, ddim, dpmpp-2m"):
        process_for(DiffusionSpec(), setting)


def test_a_file_imported_before_sit_was_known_is_not_taken_for_a_dit(tensors, tmp_path):
    path = tmp_path / "dit-1x32-4.safetensors"
    header = Header("dit", asdict(SMALL), "SiT-XL-2-256x256.pt", "0" * 64)
    write_weights(path, tensors, header)
    assert read_header(path) == header  # and the field that came later is not written
    with pytest.raises(WeightsError, match=r"goes by the name SiT-XL-2-256x256\.pt, .*: add --path linear"):
        load_dit(path)
    assert trained_on(path, "velocity", "linear") == VELOCITY
    imported = import_weights(path, tmp_path / "weights", objective={"path": "linear", "prediction": "velocity"})
    assert load_dit(Path(imported.written))[1] == VELOCITY
