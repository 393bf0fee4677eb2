"""A launch whose files are missing ends at once, with one line a file that says where the spec names it and where to
get it."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from dit_grid.experiments.running.needed_files import check_needed_files
from dit_grid.experiments.spec import SpecError, load_spec

SHIPPED = Path(str(files("dit_grid.experiments")))
GRID = SHIPPED / "grid.yaml"


def test_every_file_that_the_papers_grid_needs_is_named_once_with_where_to_get_it(tmp_path):
    """The paper's twelve runs share four inputs."""
    done = subprocess.run(
        [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(GRID), "--store", str(tmp_path / "store")],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert [line.split(": ")[1] for line in lines] == [
        "data.path",
        "evaluate.files.sd-vae-ft-mse",
        "evaluate.files.inception",
        "evaluate.files.imagenet256-adm",
    ]
    assert "made by `dit-grid encode FOLDER --vae FILE -o data/imagenet256-latents`" in lines[0]
    assert "stabilityai/sd-vae-ft-ema or -mse (335 MB" in lines[1]
    assert "releases of github.com/mseitzer/pytorch-fid, SHA-256 6726825d" in lines[2]
    assert "github.com/openai/guided-diffusion/tree/main/evaluations" in lines[3]
    assert not (tmp_path / "store").exists()


def test_a_name_without_a_place_is_named_and_what_is_there_is_not(tmp_path):
    (tmp_path / "latents").mkdir()
    (tmp_path / "s.yaml").write_text(f"""
name: x
store: {tmp_path}/store
model: {{size: S, patch: 2, image_size: 8}}
data: {{name: some-latents, path: {tmp_path}/latents}}
runs:
  - {{}}
evaluate:
  every: 400_000
  settings:
    - {{metrics: [heldout_loss]}}
    - {{metrics: [fd], decoder: vae, features: dinov2, reference: mine}}
""")
    spec = load_spec(tmp_path / "s.yaml")
    with pytest.raises(SpecError) as caught:
        check_needed_files(spec.runs, spec.file)
    assert [str(problem).split("; ")[0] for problem in caught.value.problems] == [
        f"{tmp_path}/s.yaml: evaluate.files: does not say where {name!r} lies" for name in ("vae", "dinov2", "mine")
    ]


def test_the_digits_need_nothing():
    check_needed_files(load_spec(SHIPPED / "digits.yaml").runs, "digits.yaml")
