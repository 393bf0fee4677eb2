"""The examples: the six of the index train and measure a little here, as they are; trainers of one's own resume."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.spec.any_run import AnyRun, costs
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.store import Store
from dit_grid.experiments.trainers.attempt import train
from dit_grid.experiments.training.context import Context, Progress
from dit_grid.orchestrator.backends.contract import attempt

EXAMPLES = Path(__file__).parents[1] / "examples"


SIX = {
    "images/images.yaml": {"heldout_loss"},
    "sweep.yaml": {"fd_conv", "accuracy"},
    "seeds.yaml": {"fd_conv", "accuracy"},
    "captions.yaml": {"fd_conv", "accuracy"},
    "families.yaml": {"fd_conv", "accuracy"},
    "numpy/mlp.yaml": {"test_loss", "score"},
}
"""The specs of the index, with what each measures."""


def smallest(runs):
    """The cheapest run; of several the middle one, so that specs share a program that is compiled once."""
    least = min(costs(run).forward_macs or 0 for run in runs)
    cheapest = [run for run in runs if costs(run).forward_macs == least]
    return cheapest[(len(cheapest) - 1) // 2]


def tiny(run: AnyRun) -> AnyRun:
    """The run, cut to four updates and 70 samples of three steps; everything else as it is in the file."""
    fields = run.model_dump()
    fields["train"] |= {"steps": 4, "log_every": 2}
    fields["execution"] |= {"checkpoint_every": 4}
    if isinstance(run, RunSpec):
        fields["train"]["optimizer"]["warmup_steps"] = 2
        settings = [one | {"samples": min(one["samples"], 70), "steps": 3} for one in fields["evaluate"]["settings"]]
        fields["evaluate"] |= {"every": 4, "settings": settings}
        fields["execution"]["steps_per_call"] = 2
    return type(run).model_validate(fields)


@pytest.mark.parametrize("name", SIX)
def test_the_smallest_run_of_each_example_of_the_index_trains_and_is_measured(tmp_path, name, monkeypatch):
    write = runpy.run_path(str(EXAMPLES / "images" / "write_pictures.py"))["main"]
    monkeypatch.chdir(tmp_path)
    if name.startswith("images"):
        write(tmp_path / "results" / "pictures")
    run = tiny(smallest(load_spec(EXAMPLES / name).runs))
    store = Store.create(str(tmp_path / "store"))
    ended = attempt(run, Context(store))
    assert ended.outcome == "done", ended.message
    measured = store.evals().to_pylist()
    assert {row["metric"] for row in measured} == SIX[name]
    assert np.isfinite([row["value"] for row in measured]).all()
    assert np.isfinite(store.train()["loss"].to_numpy()).all()


def test_the_index_lists_every_example_and_no_other():
    index = (EXAMPLES / "README.md").read_text("utf-8")
    specs = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.yaml"))
    assert [name for name in specs if f"({name})" not in index] == []
    assert [name for name in SIX if f"({name})" not in index.split("##")[0]] == []


def short(name, **config):
    """The smallest run of an example, cut to 200 updates."""
    run = load_spec(EXAMPLES / name).runs[0]
    fields = run.model_dump()
    fields["train"] |= {"steps": 200, "log_every": 100}
    fields["execution"] |= {"checkpoint_every": 100}
    fields["config"] |= config
    return TrainerRun.model_validate(fields)


def test_the_numpy_network_costs_what_its_arrays_hold():
    module = runpy.run_path(str(EXAMPLES / "numpy" / "mlp.py"))
    for run in load_spec(EXAMPLES / "numpy" / "mlp.yaml").runs:
        weights = module["initial"](64, run.config["width"], run.seed)
        assert costs(run).params == sum(array.size for array in weights)
        assert costs(run).forward_macs == sum(array.size for array in weights if array.ndim == 2)


def test_the_numpy_sweep_is_one_of_rates_and_not_of_models():
    runs = load_spec(EXAMPLES / "numpy" / "sweep.yaml").runs
    assert {run.model.name for run in runs} == {"w4", "w8", "w16", "w32"}
    assert len({run.config["lr"] for run in runs}) == 6


def test_the_numpy_gradients_are_those_of_the_loss():
    module = runpy.run_path(str(EXAMPLES / "numpy" / "mlp.py"))
    weights, draw = module["initial"](64, 5, 0), np.random.default_rng(1)
    images, labels = draw.random((7, 64)), draw.integers(10, size=7)
    _, gradients = module["loss_and_gradients"](weights, images, labels)
    for place, gradient in enumerate(gradients):
        direction = draw.standard_normal(gradient.shape)
        ends = []
        for sign in (-1, 1):
            moved = [w + sign * 1e-6 * direction if n == place else w for n, w in enumerate(weights)]
            ends.append(module["loss_and_gradients"](moved, images, labels)[0])
        assert (ends[1] - ends[0]) / 2e-6 == pytest.approx((gradient * direction).sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "metric"), [("numpy/mlp.yaml", "test_loss"), ("command/perceptron.yaml", "test_error")]
)
def test_an_example_trains_is_stopped_and_goes_on_with_the_same_numbers(tmp_path, name, metric):
    run, whole, parted = short(name), Store.create(str(tmp_path / "a")), Store.create(str(tmp_path / "b"))
    assert train(run, Context(whole)).outcome == "done"
    seen: list[Progress] = []
    ended = train(run, Context(parted, seen.append, lambda: any(progress.step for progress in seen)))
    assert ended.outcome in ("interrupted", "done")  # a fast machine may be through before it is asked
    assert train(run, Context(parted)).outcome == "done"
    for table in (Store.train, Store.evals):
        columns = ["step", "loss"] if table is Store.train else ["step", "metric", "value"]
        assert table(whole).select(columns).to_pylist() == table(parted).select(columns).to_pylist()
    assert {row["metric"] for row in whole.evals().to_pylist()} >= {metric}


def test_the_torch_network_costs_what_its_parameters_hold():
    pytest.importorskip("torch", reason="uv pip install torch==2.13.0")
    module = runpy.run_path(str(EXAMPLES / "torch" / "sit.py"))
    for run in load_spec(EXAMPLES / "torch" / "sit.yaml").runs:
        network = module["SiT"](run.config["width"], run.config["depth"], run.config["heads"])
        assert costs(run).params == sum(array.numel() for array in network.parameters())


def test_the_torch_example_trains(tmp_path):
    pytest.importorskip("torch", reason="uv pip install torch==2.13.0")
    store = Store.create(str(tmp_path / "store"))
    assert train(short("torch/sit.yaml"), Context(store)).outcome == "done"
    values = [row["value"] for row in store.evals().to_pylist()]
    assert values[-1] < values[0] < 2.0
