"""A launch whose files are missing ends at once, with one line a file that says where the spec names it and where to
get it."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from PIL import Image

from dit_grid.experiments.running.needed_files import check_needed_files, check_runs
from dit_grid.experiments.spec import RunSpec, SpecError, load_spec

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


def test_data_that_are_there_and_cannot_be_opened_are_told_with_what_is_missing(tmp_path):
    (tmp_path / "latents").mkdir()
    run = RunSpec.model_validate({
        "model": {"size": "S", "patch": 2, "image_size": 8, "width": 8, "depth": 1, "heads": 2},
        "data": {"name": "own", "path": f"{tmp_path}/latents"},
        "evaluate": {"every": 400_000, "settings": [{"metrics": ["fid"], "reference": "adm"}]},
    })  # fmt: skip
    with pytest.raises(SpecError) as caught:
        check_runs([run], "s.yaml")
    assert [str(problem).split("; ")[0][:48] for problem in caught.value.problems] == [
        f"s.yaml: data: {tmp_path}/latents"[:48],
        "s.yaml: evaluate.files: does not say where 'inception' lies"[:48],
        "s.yaml: evaluate.files: does not say where 'adm' lies"[:48],
    ]


def test_the_digits_need_nothing():
    check_runs(load_spec(SHIPPED / "digits.yaml").runs, "digits.yaml")


MISTAKEN = """
name: x
store: {store}
model: {{size: S, patch: 2, image_size: 8, channels: 3, classes: 5}}
data: {{name: own, path: {images}}}
train: {{steps: 60, batch: 4}}
runs:
  - {{}}
evaluate:
  every: 20
  files: {{inception: {store}-inception.pth}}
  settings:
    - {{metrics: [heldout_loss, fidd]}}
    - {{metrics: [fd], features: inception}}
    - {{metrics: [kid], decoder: vae, features: inception, reference: r}}
"""


@pytest.fixture
def mistaken(tmp_path):
    """A spec with six mistakes and images of two classes, where the network has five."""
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name / "1.png")
    file = tmp_path / "s.yaml"
    file.write_text(MISTAKEN.format(store=tmp_path / "store", images=tmp_path / "images"))
    return file


WRONG = [
    "model: the network takes 8x8x3 and 5 classes, but dataset own has 8x8x3 and 2 classes",
    "evaluate.settings[0].metrics: heldout_loss: own holds out no image",
    "evaluate.settings[0].metrics: no metric 'fidd' for own (did you mean 'fid'?)",
    "evaluate.settings[1]: fd: the setting names no reference",
    "evaluate.settings[2].decoder: decoder 'vae': samples of this dataset are images already",
]


def dit_grid(folder, *arguments):
    command = [sys.executable, "-m", "dit_grid.orchestrator", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("command", ["plan", "launch"])
def test_all_that_needs_no_device_is_told_in_one_round_before_anything_starts(mistaken, command):
    done = dit_grid(mistaken.parent, command, mistaken)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for line in WRONG:
        assert f"s.yaml: {line}" in done.stderr
    assert not (mistaken.parent / "store").exists()
    if command == "launch":  # of files, too
        assert "evaluate.files: does not say where 'vae' lies" in done.stderr
        assert "evaluate.files.inception: " in done.stderr


def test_a_plan_names_what_is_not_there_yet_and_is_a_plan_all_the_same(mistaken):
    text = mistaken.read_text()
    mistaken.write_text(
        text[: text.index("  settings")].replace("classes: 5", "classes: 2").replace("/images", "/none")
    )
    done = dit_grid(mistaken.parent, "plan", mistaken)
    assert done.returncode == 0, done.stderr
    assert f"a launch needs: {mistaken}: data.path: {mistaken.parent}/none: no such file or folder" in done.stderr


def test_names_of_metrics_that_datasets_define_are_those_that_they_make():
    from dit_grid.experiments.data.captioned_digits import captioned_digits
    from dit_grid.experiments.data.digits import digits
    from dit_grid.experiments.metrics.dataset_metrics import METRICS_OF, metrics_for
    from dit_grid.experiments.metrics.names import OWN

    made = {data.name: tuple(metric.name for metric in metrics_for(data)) for data in (digits(), captioned_digits())}
    assert made == OWN
    assert OWN.keys() == METRICS_OF.keys()
