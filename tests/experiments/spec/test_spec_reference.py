"""What is written of a spec's keys, for people and for editors, is true of the records and of the shipped files."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from dit_grid.experiments.spec import RunSpec, TrainerRun, load_spec
from dit_grid.experiments.spec.described import records
from dit_grid.experiments.spec.keys import fields_of, said_of
from dit_grid.experiments.spec.reference import matching, sections
from dit_grid.experiments.spec.schema_file import FILE

ROOT = Path(__file__).parents[3]
SHIPPED = sorted([*ROOT.glob("experiments/*.yaml"), *ROOT.glob("examples/**/*.yaml")])
KEYS = [key for section in sections() for key in section.keys]


@pytest.mark.parametrize("record", records().values(), ids=lambda record: record.__name__)
def test_every_field_says_why_it_is_there(record):
    assert fields_of(record).keys() <= said_of(record).keys()


def test_every_number_has_a_unit():
    assert [key.key for key in KEYS if "number" in key.type and not key.unit] == []


def changed(record, path, value):
    """A copy of the record, unchecked, with another value under the path; of a list its first item is changed."""
    name, *rest = path
    held = getattr(record, name.removesuffix("[]"))
    if rest and name.endswith("[]"):
        value = (changed(held[0], rest, value), *held[1:])
    elif rest:
        value = changed(held, rest, value)
    return record.model_copy(update={name.removesuffix("[]"): value})


def runs_of_both_kinds():
    ours = load_spec(ROOT / "experiments/digits.yaml").runs[0]
    own = load_spec(ROOT / "examples/numpy/mlp.yaml").runs[0]
    mesh = ours.execution.model_copy(update={"mesh": {"fsdp": 2}, "evaluate_on": {"cpus": 1}})
    return ours.model_validate(ours.model_dump() | {"execution": mesh.model_dump()}), own


NOT_OF_A_RUN = ("name", "store", "plan", "cluster", "until", "track", "sizes", "metrics")


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of values that no record would take
def test_the_page_is_right_about_which_keys_change_a_runs_id():
    (ours, own), wrong, seen = runs_of_both_kinds(), [], 0
    of_own = {name for name in TrainerRun.model_fields if name not in RunSpec.model_fields}
    for key in KEYS:
        path = key.key.split(".")
        run = own if path[0] in of_own else ours
        if key.type == "mapping" or path[0].removesuffix("[]") in NOT_OF_A_RUN:
            continue
        seen += 1
        if (changed(run, path, "another").identity() != run.identity()) != key.changes_id:
            wrong.append(key.key)
    assert (wrong, seen > 60) == ([], True)


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(FILE.read_text("utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_shipped_spec_is_valid_and_names_the_schema(validator, file):
    assert [error.message for error in validator.iter_errors(yaml.safe_load(file.read_text("utf-8")))] == []
    first = file.read_text("utf-8").splitlines()[0]
    assert (file.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve() == FILE.resolve()


GOOD = """name: test
store: results/test
track: [tensorboard, {to: wandb, project: p}]
grid: {model.size: [S], model.patch: [4, 2], train.optimizer.learning_rate: [1e-3, 0.1]}
sizes: {S: {width: 16, depth: 1, heads: 2}}
model: {image_size: 8, channels: 1, classes: 10}
data: {name: digits}
train: {steps: 4_0, batch: 8, log_every: 10}
evaluate: {every: 20, settings: [{metrics: [fd_conv], samples: 10, steps: 5}]}
execution: {checkpoint_every: 20}
overrides: {"S/2": {train: {batch: 16}}}
"""
OWN = "name: test\nstore: results/test\ntrainer: mlp:train\nconfig: {width: 4}\ntrain: {steps: 40}\n"


@pytest.mark.parametrize(
    ("good", "part", "by"),
    [
        (GOOD, "batch: 8", "bach: 8"),
        (GOOD, "batch: 8", "batch: -8"),
        (GOOD, "batch: 8", "batch: eight"),
        (GOOD, "batch: 8", "batch: 1.5"),
        (GOOD, "batch: 8", "batch: [8]"),
        (GOOD, "[tensorboard,", "[tensorbord,"),
        (GOOD, "project: p", "uri: 5"),
        (GOOD, "name: test", "title: test"),
        (GOOD, "name: test", "name: te st"),
        (GOOD, "steps: 5}", "weights: em}"),
        (GOOD, "metrics: [fd_conv], ", ""),
        (GOOD, "0.1]", "-1e-3]"),
        (GOOD, "model.patch: [4, 2]", "model.patch: 4"),
        (GOOD, "model.patch", "model.pach"),
        (GOOD, "heads: 2}", "head: 2}"),
        (GOOD, "{batch: 16}", "{steps: x}"),
        (GOOD, "sizes:", 'runs: ["S/2"]\nsizes:'),
        (OWN, "mlp:train", "mlp"),
        (OWN, "steps: 40", "steps: 40, optimizer: {name: sgd}"),
        (OWN, "config:", "model: {patch: 2}\nconfig:"),
    ],
)
def test_what_cannot_be_read_is_not_valid(validator, tmp_path, good, part, by):
    assert validator.is_valid(yaml.safe_load(good))
    text = good.replace(part, by, 1)
    assert not validator.is_valid(yaml.safe_load(text))
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"spec\.yaml"):
        load_spec(tmp_path / "spec.yaml")


def test_a_key_is_found_by_its_section_its_name_and_a_part_of_it():
    assert {key.key for key in matching("train.ema")} == {"train.ema", "train.ema.decay", "train.ema.warmup"}
    assert "cluster.lease_s" in {key.key for key in matching("lease")}
    assert matching("no-such-key") == []
