"""`dit-grid spec`: one round says all that is wrong, and keys are found without opening a page."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dit_grid.orchestrator.commands.cli import cli

ROOT = Path(__file__).parents[3]
DIGITS = (ROOT / "tests/golden/digits_first_recipe.yaml").read_text("utf-8")


def run(*words):
    return CliRunner().invoke(cli, ["spec", *map(str, words)])


def spec(tmp_path, *changes, text=DIGITS):
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "my.yaml"
    file.write_text(text)
    return file


def problems(file):
    found = run("check", file, "--json")
    said = json.loads(found.stdout)
    assert (found.exit_code == 0) == said["ok"]
    return [f"{one['path']}: {one['message']}" for one in said["problems"]]


def test_a_spec_that_would_start_is_said_to_be_right():
    found = run("check", ROOT / "experiments/digits.yaml")
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout.endswith("digits.yaml: 12 runs; nothing is wrong\n")


def test_mistakes_of_every_kind_are_said_in_one_round(tmp_path):
    """The file's own, the data's, a metric's, the target's, the store's: each would end a launch by itself."""
    (tmp_path / "taken").write_text("a file")
    file = spec(
        tmp_path, ("batch: 128", "bach: 128"), ("accuracy]", "accuray]"), ("classes: 10", "classes: 3"),
        ("[heldout_loss]", "[fid]"),
    )  # fmt: skip
    said = "\n".join(problems(file))
    for part in ("train.bach", "accuray", "model: ", "evaluate.files"):
        assert part in said
    file = spec(tmp_path, ("store: results/digits", f"store: {tmp_path}/taken/in\nuntil: {{target: soon}}"))
    assert [one.split(":")[0] for one in problems(file)] == ["until", "store"]


def test_every_group_is_checked_and_counted(tmp_path):
    groups = "groups: {wide: [{model: {size: S, patch: 8, heads: 2}}], bad: [{model: {size: S, patch: 3}}]}\nplan:"
    file = spec(tmp_path, ("plan:", groups))
    assert len(problems(file)) == 1
    file = spec(tmp_path, ("plan:", groups.split(", bad")[0] + "}\nplan:"))
    assert "12 runs, 1 more with --group wide" in run("check", file).stdout


def test_a_trainer_that_is_not_there_is_said(tmp_path):
    file = spec(tmp_path, text="name: a\nstore: results/a\ntrainer: nowhere:train\ntrain: {steps: 3}\nruns: [{}]\n")
    assert problems(file) == [f"trainer: nowhere:train cannot be imported from {tmp_path}: "
                              "ModuleNotFoundError: No module named 'nowhere'"]  # fmt: skip


def test_nothing_is_written_by_a_check(tmp_path, monkeypatch):
    file = spec(tmp_path)
    monkeypatch.chdir(tmp_path)
    run("check", file)
    assert list(tmp_path.iterdir()) == [file]


def test_the_schema_is_the_one_that_is_shipped(tmp_path):
    shipped = (ROOT / "experiments/spec/schema.json").read_text("utf-8")
    assert run("schema").stdout == shipped
    run("schema", "-o", tmp_path / "s.json")
    assert (tmp_path / "s.json").read_text("utf-8") == shipped


def test_keys_are_found_by_a_part_of_their_name():
    assert [one["key"] for one in json.loads(run("keys", "ema.d", "--json").stdout)] == ["train.ema.decay"]
    assert "default 20.0; ≥ 1" in run("keys", "lease").stdout


@pytest.mark.parametrize("words", [("keys", "nosuchkey"), ("check", "nowhere.yaml")])
def test_what_is_not_there_is_one_line(words):
    found = run(*words)
    assert found.exit_code != 0
    assert len((found.stderr or str(found.exception)).splitlines()) <= 2
