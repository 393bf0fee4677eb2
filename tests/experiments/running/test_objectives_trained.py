"""A small grid of objectives is trained for real, goes on bit for bit, and each objective learns the digits it sees."""

import jax
import numpy as np
import pytest

from dit_grid.experiments.running.owed_evaluations import lacking
from dit_grid.experiments.running.training_run import train
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store
from dit_grid.experiments.training.context import Context
from dit_grid.experiments.training.update import Program

HEUN = {"metrics": ["fd_conv"], "samples": 200, "sampler": "ode-heun", "steps": 8}
OBJECTIVES = {
    "velocity": ({"path": "linear", "prediction": "velocity"}, HEUN, 14),
    "image": (
        {"path": "linear", "prediction": "x0", "loss": "velocity", "times": "logit-normal", "times_mean": -0.8},
        HEUN, 14,
    ),
    "score": (
        {"path": "vp", "prediction": "score", "weight": "velocity"},
        {"metrics": ["fd_conv"], "samples": 200, "sampler": "sde-euler", "steps": 20, "guidance": 1.2}, 20,
    ),
}  # fmt: skip

TRAINED = {"image": {"parametrization": "mup", "base_width": 16, "optimizer": {"name": "lion", "learning_rate": 1e-3}}}
"""Other training of some of them."""


def run_of(diffusion, setting, **train_fields):
    return RunSpec.model_validate({
        "model": {"size": "T", "patch": 4, "image_size": 8, "channels": 1, "classes": 10, "width": 32, "depth": 1,
                  "heads": 4},
        "data": {"name": "digits"},
        "diffusion": diffusion,
        "train": {"steps": 60, "batch": 32, "log_every": 20, "optimizer": {"learning_rate": 3e-3},
                  "ema": {"decay": 0.9, "warmup": True}, **train_fields},
        "evaluate": {"every": 60, "settings": [setting, {"metrics": ["heldout_loss"], "samples": 50}]},
        "execution": {"checkpoint_every": 20, "steps_per_call": 20},
    })  # fmt: skip


class StopAfter:
    """Asks for a stop once so many windows were logged."""

    def __init__(self, windows):
        self.windows = windows

    def __call__(self):
        self.windows -= 1
        return self.windows < 0


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_trains_goes_on_bit_for_bit_and_is_measured(tmp_path, name):
    diffusion, setting, evaluations = OBJECTIVES[name]
    run = run_of(diffusion, setting, **TRAINED.get(name, {}))
    whole, broken = (Store.create(str(tmp_path / kind)) for kind in ("whole", "broken"))
    assert train(run, Context(whole)).kind == "done"
    assert train(run, Context(broken, stop_requested=StopAfter(0))).kind == "interrupted"
    assert train(run, Context(broken)).kind == "done"

    columns = ["step", "loss", "mse", "vb", "loss_t1", "loss_t4", "grad_norm", "param_norm"]
    rows = whole.train().select(columns).to_pylist()
    assert rows == broken.train().select(columns).to_pylist()
    evals = [store.evals().select(["metric", "value", "sampler_steps"]).to_pylist() for store in (whole, broken)]
    assert evals[0] == evals[1]
    assert rows[-1]["loss"] < rows[0]["loss"]
    found = {row["metric"]: row for row in evals[0]}
    assert np.isfinite([row["value"] for row in evals[0]]).all()
    assert found["fd_conv"]["sampler_steps"] == evaluations
    assert found["fd_conv"]["value"] < 1500  # of noise it is above 2,000
    assert lacking(whole, [run])[run.id] == []


def test_at_the_base_width_mup_is_the_standard_parametrization():
    standard, mup = (run_of({}, HEUN | {"sampler": "ddpm"}, **fields) for fields in (
        {}, {"parametrization": "mup", "base_width": 32}))  # fmt: skip
    images = np.random.default_rng(0).standard_normal((2, 32, 8, 8, 1), np.float32)
    labels = np.zeros((2, 32), np.int32)
    ends = []
    for run in (standard, mup):
        program = Program(run)
        state, losses = program.advance(program.init(), images, labels)
        ends.append((state.params, losses.loss))
    # Not bit for bit: XLA fuses the longer chain of the optimizer in another order.
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(np.allclose(a, b, rtol=1e-6, atol=1e-7)), *ends))
