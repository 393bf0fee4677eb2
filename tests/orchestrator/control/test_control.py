"""Requests from another terminal, and a second launch of the same grid."""

import json

import pytest
from click.testing import CliRunner

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.commands.control import COMMANDS
from dit_grid.orchestrator.commands.where import runs_matching
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.control.lease import Ended, Lease, Watcher
from dit_grid.orchestrator.control.requests import asked, standing
from dit_grid.orchestrator.driving.attach import attach
from dit_grid.orchestrator.planning.work import record_runs
from dit_grid.orchestrator.screen.status import driver_line, read_status


@pytest.fixture
def store(miniature_spec, tmp_path):
    spec = load_spec(miniature_spec(tmp_path))
    store = Store.create(spec.store)
    record_runs(spec, store)
    return store


def taken(store) -> Lease:
    lease = Watcher(store).take()
    assert lease is not None
    return lease


def command(name, *arguments):
    found = next(command for command in COMMANDS if command.name == name)
    return CliRunner().invoke(found, list(arguments), catch_exceptions=False)


def test_a_pattern_names_runs_by_model_or_id(store):
    models = {row["model"]: row["run_id"] for row in store.runs().to_pylist()}
    assert runs_matching(store, ["S/*"]) == {models["S/4"]: "S/4"}
    assert runs_matching(store, [models["B/4"]]) == {models["B/4"]: "B/4"}
    assert len(runs_matching(store, ["*"])) == 2


def test_a_pattern_that_matches_nothing_names_the_nearest_model_and_asks_nothing(store):
    with pytest.raises(RequestError, match=r"no run matches 'B/2' in .*; it has B/4, S/4; did you mean B/4\?"):
        command("cancel", "S/4", "B/2", "--where", store.paths.root)
    assert asked(store.files) == []


def test_a_request_outlives_the_launch_and_can_be_taken_back(store):
    result = command("cancel", "*", "--where", store.paths.root)
    assert "no launch is running; the next one obeys" in result.output
    command("retry", "S/4", "--where", store.paths.root)
    (cancelled,) = standing(asked(store.files))
    assert cancelled.startswith("b-4-")
    with taken(store):
        assert "acts on it within seconds" in command("pause", "S/4", "--where", store.paths.root).output


def test_the_store_may_stand_before_the_runs_or_after_and_is_named(store, tmp_path):
    root = store.paths.root
    for words in ((root, "S/4"), ("B/4", root), ("*", str(tmp_path / "miniature.yaml"))):
        assert command("pause", *words).output.startswith(f"{root}: ")
        command("resume", root, "*")
    with pytest.raises(RequestError, match="are two stores; name one"):
        command("pause", root, "gs://bucket/other", "*")
    with pytest.raises(RequestError, match="pause which runs"):
        command("pause", root)


def test_a_request_that_changes_nothing_says_so_and_is_not_recorded(store):
    root, models = store.paths.root, {row["model"]: row["run_id"] for row in store.runs().to_pylist()}
    store.end_attempt(store.begin_attempt(models["S/4"], 0), "done")
    for what, said in (("cancel", "is done"), ("retry", "is done"), ("pause", "is done")):
        assert f"S/4 ({models['S/4']}) {said}; nothing to {what}" in command(what, root, "S/4").output
    assert "is not paused; nothing to resume" in command("resume", root, "B/4").output
    assert "has not begun and is queued; nothing to retry" in command("retry", root, "B/4").output
    assert asked(store.files) == []
    command("pause", root, "*")
    assert "B/4" not in command("resume", root, "S/4").output
    assert "is paused already" in command("pause", root, "B/4").output
    (only,) = asked(store.files)
    assert only.run_ids == (models["B/4"],)


def test_a_request_can_be_read_by_a_program(store):
    models = {row["model"]: row["run_id"] for row in store.runs().to_pylist()}
    found = json.loads(command("cancel", store.paths.root, "S/4", "--json").output)
    assert found == {"store": store.paths.root, "asked": "cancel", "runs": [models["S/4"]], "unchanged": {},
                     "launch_is_running": False}  # fmt: skip


def test_an_attached_launch_ends_when_the_driver_does(store, monkeypatch):
    monkeypatch.setattr("dit_grid.orchestrator.driving.attach.LOOK_EVERY_S", 0.0)
    watcher, looks = Watcher(store), []
    lease = taken(store)
    look = watcher.look

    def counted():
        looks.append(look())
        if len(looks) == 3:
            lease.end({"outcome": "done"})
        return looks[-1]

    monkeypatch.setattr(watcher, "look", counted)
    assert attach(store, watcher) == Ended(1, {"outcome": "done"})
    assert len(looks) == 4


def test_status_says_who_is_cancelled_or_paused_and_who_drives(store):
    command("cancel", "S/4", "--where", store.paths.root)
    command("pause", "B/4", "--where", store.paths.root)
    assert {row.model: row.state for row in read_status(store)} == {"S/4": "cancelled", "B/4": "paused"}
    command("resume", "B/4", "--where", store.paths.root)
    assert {row.model: row.state for row in read_status(store)} == {"S/4": "cancelled", "B/4": "waiting"}
    assert driver_line(store) == "no launch is running"
    with taken(store):
        assert driver_line(store).startswith("driven by process ")
