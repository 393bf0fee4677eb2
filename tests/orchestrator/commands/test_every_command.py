"""What holds of every command: JSON wherever something is printed, a store that is named, and WHERE in its place."""

import json

import click
import pytest
from click.testing import CliRunner

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.planning.work import record_runs

NO_JSON = {
    "launch": "it shows progress; results --json has its table, analyze --json its law",
    "serve": "it serves a page",
    "track": "it follows a store until it is stopped",
    "logs": "it prints a run's own text",
    "sentinel": "it watches until it is stopped",
    "trainer-client": "it prints a file",
    "spec schema": "it prints JSON as it is",
}

LOG = "name,_step,train/loss,fid50k\nother,100,0.5,\nother,200,0.25,43.5\n"
MAPPING = """
run: {run_id: {column: name}, model: B/4}
train: {step: {column: _step}, loss: {column: train/loss}}
evals: [{metric: fid, step: {column: _step}, value: {column: fid50k}}]
"""


def leaves(group=cli, name=""):
    """Name -> command, of all that do something."""
    for word, command in group.commands.items():
        inside = f"{name} {word}".strip()
        if isinstance(command, click.Group):
            yield from leaves(command, inside)
        else:
            yield inside, command


@pytest.mark.parametrize(("name", "command"), list(leaves()))
def test_a_command_has_json_or_a_reason_to_have_none(name, command):
    options = {option for one in command.params for option in one.opts}
    assert ("--json" in options) != (name in NO_JSON)


@pytest.fixture(scope="module")
def places(miniature_spec, tmp_path_factory):
    """A spec of two models of which the smaller is done in its store, and a log with its mapping."""
    folder = tmp_path_factory.mktemp("every")
    spec = load_spec(miniature_spec(folder))
    store = Store.create(spec.store)
    record_runs(spec, store)
    attempt = store.begin_attempt(spec.runs[0].id, 0)
    with store.writer(attempt) as writer:
        writer.train({"step": 1200, "loss": 0.5, "steps_per_s": 20.0})
        writer.eval({"step": 1200, "metric": "fd_conv", "value": 7.0, "protocol": "p", "samples": 100})
    store.end_attempt(attempt, "done", {"step": 1200})
    for name, text in (("log.csv", LOG), ("mapping.yaml", MAPPING), ("runs.csv", "params,loss\n1,9\n2,5\n4,3\n")):
        (folder / name).write_text(text)
    return {"spec": spec.file, "store": spec.store, "folder": str(folder)}


ASKED = [
    "plan {spec}", "plan {spec} --parameters S/4", "spec check {spec}", "spec keys lease", "status {store}",
    "results {store}", "analyze {store}", "report {store}", "suggest {store}", "suggest {spec}", "cancel {store} B/4",
    "cancel {store} B/4", "retry {store} B/4", "pause {spec} B/4", "resume {store} B/4", "resume {store} B/4",
    "store check {spec}", "store compact {store}", "store compact {store}", "store gc {store}",
    "store export {spec} -o {folder}/out", "store import {folder}/log.csv {store} --mapping {folder}/mapping.yaml",
    "compare {store} {store} --metric fd_conv", "init -o {folder}/first.yaml",
    "fit {folder}/runs.csv --x params --form power",
]  # fmt: skip
WRITES = {"cancel", "retry", "pause", "resume", "compact", "gc", "export", "import", "report"}


def test_json_is_json_and_what_writes_names_its_store(places):
    """In this order, each on what the ones before left; what is asked twice changes nothing and says so as well."""
    for line in ASKED:
        words = line.format(**places).split()
        found = CliRunner().invoke(cli, [*words, "--json"])
        assert found.exit_code == 0, f"{line}: {found.output} {found.exception}"
        said = json.loads(found.stdout)
        if WRITES & set(words):
            assert said["store"] == places["store"], line


NOTHING = [
    ("resume {store} S/4", "is done; nothing to resume"), ("store gc {spec}", "nothing to remove"),
    ("cancel {store} S/4", "is done; nothing to cancel"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "says"), NOTHING)
def test_a_request_that_changes_nothing_says_so_and_of_which_store(places, line, says):
    found = CliRunner().invoke(cli, line.format(**places).split())
    assert found.exit_code == 0, found.output
    assert says in found.output
    assert places["store"] in found.output


def test_a_spec_names_the_store_that_an_import_goes_into(places):
    words = "store import {folder}/log.csv {spec} --mapping {folder}/mapping.yaml".format(**places).split()
    shown = CliRunner().invoke(cli, words)
    assert f"1 run imported into {places['store']}: other" in shown.output
