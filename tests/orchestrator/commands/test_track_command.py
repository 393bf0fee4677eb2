"""`dit-grid track`, and the mirror beside a launch: a process of its own, live, that may die."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from dit_grid.experiments.spec import SpecError, load_spec
from dit_grid.experiments.spec.track import TrackSpec
from dit_grid.experiments.store import Store
from dit_grid.experiments.tracking import destinations
from dit_grid.experiments.tracking.tensorboard_events import events
from dit_grid.orchestrator.commands import track as track_command
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.commands.track import mirrored

SPEC = "name: x\nstore: {store}\ntrainer: mlp:train\ntrain: {{steps: 10}}\nruns: [{{seed: 1}}]\ntrack: {track}\n"


@pytest.fixture
def store(tmp_path):
    made = Store.create(str(tmp_path / "store"))
    made.add_run({"run_id": "r", "spec": "{}"})
    return made


def steps(store):
    files = tracking(store).rglob("*tfevents*")
    return sorted(step for file in files for step, _, tag, _ in events(file) if tag == "train/loss")


def tracking(store):
    return Path(store.paths.root) / "tracking"


def wait_for(store, wanted):
    until = time.monotonic() + 60
    while steps(store) != wanted and time.monotonic() < until:
        time.sleep(0.05)
    assert steps(store) == wanted


def test_beside_a_launch_rows_are_live_and_a_mirror_that_is_killed_hurts_nobody(store, monkeypatch, capsys):
    started = []
    popen = subprocess.Popen

    def start(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    writer = store.writer(store.begin_attempt("r", 0))
    with mirrored(store.paths.root, [TrackSpec(to="tensorboard")]):
        writer.train({"step": 1, "loss": 1.0})
        writer.flush()
        wait_for(store, [1])
        os.kill(started[0].pid, signal.SIGKILL)
        writer.train({"step": 2, "loss": 1.0})
        writer.flush()
    said = capsys.readouterr().out
    assert "the mirror ended before the launch did (exit status -9); no run was hurt" in said
    assert f"`dit-grid track {store.paths.root} --to tensorboard` goes on" in said
    done = CliRunner().invoke(cli, ["track", store.paths.root, "--to", "tensorboard"])
    assert (done.exit_code, done.output.splitlines()[-1].partition(": ")[2]) == (0, "1 number sent")
    assert steps(store) == [1, 2]


def test_a_store_that_holds_no_run_yet_is_mirrored_into_the_project_of_its_spec(tmp_path, monkeypatch):
    asked: list[dict[str, str]] = []

    def start(command, **options):
        asked.extend(json.loads(command[-1]))
        return Ended()

    monkeypatch.setattr(destinations, "find_spec", lambda name: True)
    monkeypatch.setattr(subprocess, "Popen", start)
    given = [TrackSpec(to="mlflow"), TrackSpec(to="wandb", project="own"), TrackSpec(to="tensorboard")]
    with mirrored(str(tmp_path / "store"), given, "digits"):
        pass
    assert [one.get("project") for one in asked] == ["digits", "own", None]


def test_a_spec_lends_its_own_name_to_a_store_that_holds_runs_of_another(tmp_path, store, monkeypatch):
    spec = tmp_path / "x.yaml"
    spec.write_text(SPEC.format(store=store.paths.root, track="[tensorboard, mlflow]").replace("name: x", "name: mine"))
    store.add_run({"run_id": "a", "spec": "{}", "experiment": "first"})
    asked: list[TrackSpec] = []
    monkeypatch.setattr(track_command, "_mirror", lambda where, given, *_: asked.extend(given))
    for arguments in ([], ["--to", "wandb"], ["--to", "wandb", "--project", "own"]):
        assert CliRunner().invoke(cli, ["track", str(spec), *arguments]).exit_code == 0
    assert [one.project for one in asked] == [None, "mine", "mine", "own"]


def test_a_mirror_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(track_command, "LAST_WORDS_S", 0.1)
    monkeypatch.setattr(track_command, "TERM_S", 0.1)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", deaf], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    track_command._end(child)
    assert child.returncode == -signal.SIGKILL


class Ended:
    """A process that is over."""

    stdin, returncode = None, 0

    def wait(self, *_):
        return 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no tracker is named; say --to wandb, mlflow or tensorboard"),
        (["--to", "wandb", "--uri", "http://x"], "uri is of mlflow, and this is wandb; remove it"),
        (["--to", "mlflow", "--uri", "http://me:secret@x"], "--uri: holds a user or password; leave them out"),
        (["--to", "mlflow", "--uri", "http://x/?api_key=secret"], "--uri: holds a user or password; leave them out"),
    ],
)
def test_what_cannot_be_is_one_line(store, arguments, says):
    result = CliRunner().invoke(cli, ["track", store.paths.root, *arguments])
    assert says in str(result.exception)
    assert "secret" not in str(result.exception)
    assert not tracking(store).exists()


def test_a_spec_names_its_trackers_and_no_secret(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(SPEC.format(store=tmp_path, track="[wandb, {to: mlflow, uri: 'sqlite:///a.db', project: p}]"))
    tracked = load_spec(file)
    assert [one.to for one in tracked.track] == ["wandb", "mlflow"]
    file.write_text(SPEC.format(store=tmp_path, track="[]"))
    assert load_spec(file).runs[0].id == tracked.runs[0].id, "where rows go is no part of what a run is"
    file.write_text(SPEC.format(store=tmp_path, track="[{to: mlflow, uri: 'http://u:secret@h'}, comet]"))
    with pytest.raises(SpecError) as error:
        load_spec(file)
    assert "x.yaml:6: track[0].uri: holds a user or password" in str(error.value)
    assert "track[1].to: got 'comet'; allowed: wandb, mlflow, tensorboard" in str(error.value)
    assert "secret" not in str(error.value)
