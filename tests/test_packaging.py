"""The wheel and the sdist hold the tree, all of it and nothing else, and the rooms keep their weight off each other."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("model", "experiments", "orchestrator", "analysis")


def build(target, out, folder=ROOT):
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return next(out.iterdir())


def files_of(room):
    """Names of a room's files in the tree, caches left out."""
    files = (path for path in (ROOT / room).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files if ".ipynb_checkpoints" not in path.parts}


def packaged(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def left_behind(folder):
    """What a notebook and a run may leave among the sources."""
    for name in ("notebooks/figures/figure08_compute.png", "notebooks/figures/data.csv", "figures/law.svg"):
        file = folder / "analysis" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("left behind")


TREE = {f"dit_grid/{name}" for room in ROOMS for name in files_of(room)}


def test_the_wheel_holds_every_file_of_the_four_rooms(tmp_path):
    assert packaged(build("wheel", tmp_path)) == TREE
    assert "dit_grid/model/py.typed" in TREE
    assert "dit_grid/experiments/digits.yaml" in TREE


def test_a_wheel_built_from_the_sdist_is_the_same_whatever_notebooks_leave_among_its_sources(tmp_path):
    sdist = build("sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = next(path for path in tmp_path.iterdir() if path.name.startswith("dit_grid"))
    left_behind(folder)
    assert packaged(build("wheel", tmp_path / "wheel", folder)) == TREE


def modules_after(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import dit_grid.model", {"jax", "ray", "pandas"}),
        ("import dit_grid.model.accounting", {"jax", "ray", "pandas"}),
        ("import dit_grid.analysis; dit_grid.analysis.load", {"jax", "ray"}),
        ("import dit_grid.experiments.store", {"jax", "ray", "pandas", "gcsfs"}),
        ("import dit_grid.experiments.spec", {"jax", "ray", "pandas", "numpy"}),
        ("from dit_grid.experiments import current_run", {"jax", "ray", "pandas", "numpy", "pyarrow", "pydantic"}),
        ("import dit_grid.experiments.trainers.attempt", {"jax", "ray", "pandas"}),
        ("from dit_grid.model import DiT; import dit_grid.experiments.running.training_run", {"ray"}),
        ("import dit_grid.orchestrator.screen.status", {"jax", "ray", "pandas"}),
        ("import dit_grid.orchestrator.commands.cli", {"jax", "ray", "pandas", "numpy", "pydantic", "rich"}),
    ],
)
def test_imports_stay_light(statement, unwanted):
    assert not modules_after(statement) & unwanted
