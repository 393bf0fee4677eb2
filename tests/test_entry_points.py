"""A package that is installed adds a dataset, metric, sampler, block and backend; a broken one is one clear line."""

import shutil
import sys
import tomllib
from contextlib import nullcontext
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from dit_grid.analysis import load
from dit_grid.analysis.results.metric_names import metric_named
from dit_grid.experiments.data import DataError, dataset_named
from dit_grid.experiments.spec import SpecError, load_spec
from dit_grid.model import DiT, DiTConfig, accounting
from dit_grid.model.entry_points import EntryPointError, loaded, registered
from dit_grid.orchestrator.commands.cli import main
from dit_grid.orchestrator.core import Phase
from dit_grid.orchestrator.driving.who_drives import launch_here

EXTRAS = Path(__file__).parents[1] / "examples" / "extras"


def install(folder, points, name="dit-grid-extras"):
    """What pip leaves of a package's entry points, without its minutes."""
    info = folder / f"{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in found.items()) for group, found in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def extras(tmp_path, monkeypatch):
    """The example package as it is, installed for this test."""
    project = tomllib.loads((EXTRAS / "pyproject.toml").read_text())["project"]
    install(tmp_path / "site", project["entry-points"])
    shutil.copytree(EXTRAS / "dit_grid_extras", tmp_path / "site" / "dit_grid_extras")
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("dit_grid_extras")]:
        del sys.modules[name]


def command(monkeypatch, capfd, *words):
    """(exit status, all that is printed) of dit-grid with these words."""
    monkeypatch.setattr(sys, "argv", ["dit-grid", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capfd.readouterr()
    return ended.value.code or 0, said.out + said.err


def test_all_five_are_launched_by_one_spec(extras):
    text = (EXTRAS / "extras.yaml").read_text()
    for was, becomes in ("steps: 60", "steps: 4"), ("log_every: 20", "log_every: 4"), ("samples: 64", "samples: 8"):
        text = text.replace(was, becomes)
    text = text.replace("every: 60", "every: 4").replace("per_call: 20", "per_call: 4").replace("steps: 20", "steps: 3")
    (extras / "short.yaml").write_text(text)
    spec = load_spec(extras / "short.yaml").model_copy(update={"store": str(extras / "store")})
    finish = launch_here(spec, lambda: nullcontext(lambda grid: None), backend="in-turn")  # all of a launch but figures
    assert {one.phase for one in finish.state.runs.values()} == {Phase.DONE}
    (row,) = load(spec.store).evals.to_dict("records")
    assert (row["metric"], row["sampler"], row["dataset"]) == ("ink_error", "ddpm-cool", "inverted-digits")
    assert np.isfinite(row["value"])


def test_a_block_counts_what_its_arrays_hold(extras):
    config = DiTConfig(8, 4, 32, 2, 4, channels=1, classes=10, block="parallel")

    def made(x_BHWC, t_B, y_B):  # shapes alone: nothing is computed
        model = DiT(config, nnx.Rngs(0))
        return nnx.state(model, nnx.Param), model(x_BHWC, t_B, y_B)

    images, whole = jax.ShapeDtypeStruct((2, 8, 8, 1), "float32"), jax.ShapeDtypeStruct((2,), "int32")
    arrays, output = jax.eval_shape(made, images, whole, whole)
    assert accounting.trainable_params(config) == sum(leaf.size for leaf in jax.tree.leaves(arrays))
    assert output.shape == (2, 8, 8, 2)
    same = DiTConfig(8, 4, 32, 2, 4, channels=1, classes=10)
    apart = accounting.forward_macs(same) - accounting.forward_macs(config)
    assert apart == 2 * 3 * 32**2, "adaLN-Zero without three of its six vectors"


def test_names_read_as_registered_and_only_where_installed(extras):
    assert metric_named("ink_error").label == "Error of mean brightness"
    assert metric_named("ink_error").log
    assert dataset_named("inverted-digits").all().images.max() == 1
    assert dataset_named("inverted-digits") is dataset_named("inverted-digits")


def test_without_the_package_each_name_is_a_mistake(tmp_path, monkeypatch, capfd):
    with pytest.raises(SpecError) as caught:
        load_spec(EXTRAS / "extras.yaml")
    assert "model.block: got 'parallel'; allowed: adaln-zero, adaln, cross-attention, in-context" in str(caught.value)
    assert "sampler: got 'ddpm-cool' (did you mean 'ddpm'?)" in str(caught.value)
    with pytest.raises(DataError, match="no dataset 'inverted-digits'"):
        dataset_named("inverted-digits")
    for more, said in (("--address", "auto"), "an address is of Ray"), ((), "no installed package registers it"):
        spec = (EXTRAS.parents[1] / "experiments" / "digits.yaml", "--store", tmp_path / "store")
        status, output = command(monkeypatch, capfd, "launch", *spec, "--backend", "in-turn", *more)
        assert status == 2
        assert said in output.splitlines()[-1]
        assert not (tmp_path / "store").exists()


def test_what_cannot_be_imported_or_is_there_twice_is_said_by_package(tmp_path, monkeypatch):
    install(tmp_path / "a", {"dit_grid.datasets": {"x": "nowhere.at_all:x"}}, "broken")
    monkeypatch.syspath_prepend(tmp_path / "a")
    assert registered("datasets") == ("x",)
    with pytest.raises(DataError) as caught:
        dataset_named("x")
    assert str(caught.value) == (
        "datasets 'x' of broken (nowhere.at_all:x) cannot be imported: ModuleNotFoundError: No module named 'nowhere'; "
        "mend or uninstall it"
    )
    install(tmp_path / "b", {"dit_grid.datasets": {"x": "elsewhere:x"}}, "second")
    monkeypatch.syspath_prepend(tmp_path / "b")
    with pytest.raises(EntryPointError, match=r"registered by second and broken: uninstall one of them"):
        loaded("datasets", "x")
