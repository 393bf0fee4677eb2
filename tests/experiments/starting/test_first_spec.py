"""Each first spec is right as it is written, trains, and never takes the place of a file."""

import csv
import json
import runpy
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from dit_grid.experiments.running.needed_files import missing_files, spec_mistakes
from dit_grid.experiments.spec import RunSpec, TrainerRun, load_spec
from dit_grid.experiments.spec.any_run import costs, shortened
from dit_grid.experiments.store import Store
from dit_grid.experiments.training.context import Context
from dit_grid.orchestrator.commands.cli import cli


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with two classes of pictures and a table in which a column is the sum of two others."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for i in range(12):
        file = Path("my photos") / ("ant", "bee")[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(file)
    rows = draw.standard_normal((100, 2))
    Path("data").mkdir()
    with open("data/heights.csv", "w", newline="") as table:
        csv.writer(table).writerows([["who", "a b", "yes", "sum"]])
        csv.writer(table).writerows([["x", *row, sum(row)] for row in rows.tolist()])
    return tmp_path


def init(*words):
    return CliRunner().invoke(cli, ["init", *words])


STARTS = {
    "digits.yaml": [], "my-photos.yaml": ["--from", "images", "my photos"],
    "heights.yaml": ["--from", "csv", "data/heights.csv"], "torch.yaml": ["--from", "torch"],
}  # fmt: skip


@pytest.mark.parametrize(("file", "words"), STARTS.items())
def test_a_first_spec_is_right_and_known_to_an_editor(file, words):
    assert init(*words).exit_code == 0
    spec = load_spec(file)
    assert len(spec.runs) >= 6
    assert not [*spec_mistakes(spec.runs, file), *missing_files(spec.runs, file)]
    text = Path(file).read_text()
    assert text.startswith("# yaml-language-server: $schema=spec.schema.json\n")
    schema = json.loads(Path("spec.schema.json").read_text())
    assert jsonschema.Draft7Validator(schema).is_valid(yaml.safe_load(text))


@pytest.mark.slow
def test_the_smallest_network_on_pictures_trains():
    from dit_grid.experiments.running.training_run import train

    init(*STARTS["my-photos.yaml"])
    smallest = load_spec("my-photos.yaml").networks[-1]
    assert train(RunSpec.model_validate(shortened(smallest, 2, 2)), Context(Store.create("store"))).kind == "done"


def test_the_table_is_learnt_and_costs_what_its_arrays_hold():
    from dit_grid.experiments.trainers.attempt import train

    init(*STARTS["heights.yaml"])
    module = runpy.run_path("csv_net.py")
    for run in load_spec("heights.yaml").runs:
        arrays = module["initial"](2, run.config["width"], run.seed)
        assert costs(run).params == sum(array.size for array in arrays)
        first, _, second, _ = arrays
        assert costs(run).forward_macs == first.size + second.size
    store = Store.create("store")
    run = load_spec("heights.yaml").runs[2]
    assert isinstance(run, TrainerRun)
    assert train(run, Context(store)).outcome == "done"
    values = {row["step"]: row["value"] for row in store.evals().to_pylist() if row["metric"] == "test_error"}
    assert values[2000] < 0.05  # of a spread of 1, of a sum that a line has whole


@pytest.mark.parametrize("taken", ["digits.yaml", "torch_net.py"])
def test_what_is_there_is_left_and_nothing_is_written_beside_it(here, taken):
    Path(taken).write_text("mine")
    before = sorted(here.iterdir())
    found = init(*(["--from", "torch"] if "torch" in taken else []))
    assert "is there already and is left as it is" in str(found.exception)
    assert (Path(taken).read_text(), sorted(here.iterdir())) == ("mine", before)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "images"], "--from images needs FOLDER"),
        (["--from", "images", "nowhere"], "nowhere: no such folder"),
        (["--from", "csv", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--from", "csv", "digits.png"], "digits.png: "),
        (["--from", "csv", "words.csv"], "words.csv: 1 columns of numbers"),
        (["--from", "csv", "ragged.csv"], "ragged.csv: row 3 has 1 cells and the first row 2"),
        (["--from", "csv", "short.csv"], "short.csv: 1 rows; at least 20 are needed"),
        (["--from", "digits", "data"], "leave it out"),
        (["-o", "no/such.yaml"], "no such folder as no"),
    ],
)
def test_what_cannot_be_started_from_is_one_line_and_writes_nothing(here, words, said):
    Path("digits.png").write_bytes(bytes(range(256)))
    Path("words.csv").write_text("a,b\nx,1\n")
    Path("ragged.csv").write_text("a,b\n1,2\n3\n")
    Path("short.csv").write_text("a,b\n1,2\n")
    before = sorted(here.rglob("*"))
    found = init(*words)
    assert said in str(found.exception)
    assert len(str(found.exception).splitlines()) == 1
    assert sorted(here.rglob("*")) == before
