"""W&B and MLflow themselves: killed with SIGKILL in mid-write, every number is there once, and no secret anywhere.

`uv sync --group trackers`, then `pytest -m trackers -n 0`.
"""

import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from dit_grid.experiments.store import Store
from dit_grid.experiments.store.importing import write_log
from dit_grid.experiments.store.points import Points
from dit_grid.experiments.tracking import TrackingError, read_tracked
from dit_grid.experiments.tracking.tracker import TrackedRun
from dit_grid.experiments.tracking.wandb_files import records, wandb_logs

pytestmark = pytest.mark.trackers

SECRET = "0123456789abcdef0123456789abcdef01234567"
ROWS = 2000


def wandb_numbers(tracking):
    """(run, name, step) of everything logged, by wandb's own protocol buffers."""
    import json

    Record = pytest.importorskip("wandb.proto.wandb_internal_pb2").Record
    for log in wandb_logs(tracking):
        for data in records(log):
            record = Record.FromString(data)
            if record.HasField("history"):
                row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                yield from ((log.stem, name, row["step"]) for name in row if "/" in name)


def mlflow_numbers(tracking):
    """The same, by MLflow's client."""
    from mlflow import MlflowClient

    if not (tracking / "mlflow.db").exists():
        return
    client = MlflowClient(tracking_uri=f"sqlite:///{tracking}/mlflow.db")
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            for name in run.data.metrics:
                yield from (
                    (run.info.run_id, name, point.step) for point in client.get_metric_history(run.info.run_id, name)
                )


TRACKERS = {"wandb": (wandb_numbers, "wandb"), "mlflow": (mlflow_numbers, "mlflow.db")}


def start(store, to):
    keys = {"WANDB_API_KEY": SECRET, "WANDB_MODE": "offline", "MLFLOW_TRACKING_PASSWORD": SECRET}
    program = [sys.executable, "-m", "dit_grid.orchestrator", "track", store.paths.root, "--to", to]
    return subprocess.Popen(program, env=os.environ | keys, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def is_there(to, tracking):
    """Whether something was written, seen without the tracker."""
    if to == "wandb":
        return any(log.stat().st_size > 2000 for log in wandb_logs(tracking))
    import sqlite3

    try:
        with sqlite3.connect(f"file:{tracking}/mlflow.db?mode=ro", uri=True) as base:
            return base.execute("select count(*) from metrics").fetchone()[0] > 0
    except sqlite3.Error:
        return False


def test_of_a_session_of_wandb_that_failed_none_is_left_open(tmp_path, monkeypatch, request):
    wandb = pytest.importorskip("wandb", reason="uv sync --group trackers")
    request.addfinalizer(wandb.teardown)  # else programs that other tests start inherit this one's service of W&B's
    from dit_grid.experiments.tracking import wandb_tracker

    monkeypatch.setenv("WANDB_MODE", "offline")
    tracker = wandb_tracker.WandbTracker(tmp_path, "p")
    run = TrackedRun("r", "abc123", "demo", {})
    tracker.begin(run)
    first = tracker._runs[run.key]
    with monkeypatch.context() as slow:
        slow.setattr(wandb_tracker, "WAIT_S", 0.0)
        with pytest.raises(TrackingError, match="W&B did not write row 0"):
            tracker.send(run, [Points(1, 0.0, {"train/loss": 1.0}, 1)])
    tracker.begin(run)
    assert first._is_finished
    assert tracker.held(run) == {"train/loss": {1: 1.0}}, "what the first was sent counts"
    tracker.send(run, [Points(2, 0.0, {"train/loss": 1.0}, 1)])
    tracker.close()
    assert sorted(step for _, name, step in wandb_numbers(tmp_path) if name == "train/loss") == [1, 2]


@pytest.mark.parametrize("to", TRACKERS)
def test_killed_in_mid_write_every_number_is_there_once_and_no_secret(store, filled, numbers, tmp_path, to):
    pytest.importorskip(to, reason="uv sync --group trackers")
    filled(store)
    store.add_run({"run_id": "a-long", "model": "S/8", "spec": "{}", "experiment": "demo"})
    with store.writer(store.begin_attempt("a-long", 0)) as writer:
        for step in range(1, ROWS + 1):
            writer.train({"step": step, "loss": 1 / step})
    tracking = tmp_path / "store" / "tracking"
    process = start(store, to)
    until = time.monotonic() + 120
    while not is_there(to, tracking) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.wait()
    counts, name = TRACKERS[to]
    before = len(list(counts(tracking)))
    assert 0 < before < ROWS + 13, "killed in the middle"
    for _ in range(2):  # the second finds nothing to do
        process = start(store, to)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert said.splitlines()[-1].endswith(": 0 numbers sent")
    found = Counter(counts(tracking))
    assert len(found) == ROWS + 13
    assert set(found.values()) == {1}
    other = Store.create(str(tmp_path / "other"))
    write_log(other, read_tracked(tracking / name))
    for run in ("a-long", "b-4-0"):
        assert str(numbers(other, run)) == str(numbers(store, run))
    (run,) = other.runs(["b-4-0"]).to_pylist()
    assert (run["model"], run["batch"], run["seed"], run["steps"]) == ("B/4", 32, 0, 40)
    assert other.states()["b-4-0"].outcome == "done"
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
