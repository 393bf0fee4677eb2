"""A real tracking server of MLflow, on loopback: killed like mirror and run, every number is on it once.

The full mlflow wants an older pyarrow than ours, so it has an environment of its own:

    uv venv /tmp/mlflow && uv pip install --python /tmp/mlflow/bin/python 'mlflow==3.17.2'
    MLFLOW_SERVER=/tmp/mlflow/bin/mlflow uv run --no-sync pytest -m trackers -n 0 tests/experiments/tracking
"""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from dit_grid.experiments.spec.track import TrackSpec
from dit_grid.experiments.store import Store
from dit_grid.experiments.tracking.mlflow_client import mlflow_client
from dit_grid.orchestrator.commands import track as track_command
from dit_grid.orchestrator.commands.cli import cli

pytestmark = pytest.mark.trackers

ROWS = 8000
STARTS_S = 240
"""A server may take this long to be up on a machine that has much else to do."""


def is_up(uri):
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=2):
            return True
    except OSError:
        return False


def until(true, within_s=STARTS_S):
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path):
    """`up()` and `down()`, by SIGKILL, of one server over one database; what is on it, counted unasked by `kept()`."""
    program = os.environ.get("MLFLOW_SERVER")
    if not program:
        pytest.skip("set MLFLOW_SERVER to the program `mlflow` of an environment that has all of it")
    pytest.importorskip("mlflow", reason="uv sync --group trackers")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri, running = f"http://127.0.0.1:{port}", []

    def up():
        options = ["--port", str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
        with open(tmp_path / "server.log", "a", encoding="utf-8") as log:
            running.append(subprocess.Popen([program, "server", "--host", "127.0.0.1", *options], stdout=log,
                                            stderr=log, cwd=tmp_path, start_new_session=True))  # fmt: skip
        until(lambda: is_up(uri))

    def down():
        while running:
            process = running.pop()
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def runs():
        client = mlflow_client(uri)
        return [run for one in client.search_experiments() for run in client.search_runs([one.experiment_id])]

    def numbers():
        client = mlflow_client(uri)
        return Counter((run.info.run_name, name, point.step) for run in runs() for name in run.data.metrics
                       for point in client.get_metric_history(run.info.run_id, name))  # fmt: skip

    def kept():
        with sqlite3.connect(f"file:{tmp_path}/server.db?mode=ro", uri=True) as base:
            return base.execute("select count(*) from metrics").fetchone()[0]

    up()
    yield SimpleNamespace(uri=uri, up=up, down=down, runs=runs, numbers=numbers, kept=kept)
    down()


def test_killed_itself_like_mirror_and_run_the_server_has_every_number_once(store, filled, server, tmp_path, capsys):
    filled(store)
    asked = TrackSpec(to="mlflow", uri=server.uri, project="law")
    to = ["--to", "mlflow", "--uri", server.uri, "--project", "law"]
    with store.writer(long := begun(store)) as writer:
        for step in range(1, ROWS + 1):
            writer.train({"step": step, "loss": 1 / step})
    mirror = subprocess.Popen([sys.executable, "-m", "dit_grid.orchestrator", "track", store.paths.root, *to])
    until(server.kept)
    mirror.kill()
    mirror.wait()
    assert 0 < server.kept() < ROWS, "the mirror was killed in mid-write"
    with track_command.mirrored(store.paths.root, [asked]):  # and another goes on beside a launch
        until(lambda: server.numbers()["b-4-0", "train/loss", 40])
        server.down()
        assert long.number == 1, "the run is killed too, and another attempt makes its last thousand steps again"
        with store.writer(store.begin_attempt("a-long", ROWS - 1000)) as writer:
            for step in range(ROWS - 999, ROWS + 1001):
                writer.train({"step": step, "loss": 1 / step})
            writer.flush()
            time.sleep(3)
            server.up()
    said = capsys.readouterr().out
    assert "no answer (Connection refused); tried again every 15 s" in said
    assert "behind" not in said
    assert set(server.numbers().values()) == {1}
    assert len(server.numbers()) == ROWS + 1000 + 13
    (ended,) = [run for run in server.runs() if run.info.run_name == "b-4-0"]
    assert (ended.info.status, ended.data.tags["attempt.1"]) == ("FINISHED", "preempted")
    assert ended.data.params["spec.a.b"] == "1"


def begun(store):
    store.add_run({"run_id": "a-long", "model": "S/8", "spec": "{}", "experiment": "demo"})
    return store.begin_attempt("a-long", 0)


def test_what_a_server_holds_is_imported_from_it(store, filled, numbers, server, tmp_path):
    filled(store)
    into = str(tmp_path / "other")
    assert CliRunner().invoke(cli, ["store", "import", server.uri, into]).exception.args[0].endswith("hold no number")
    CliRunner().invoke(cli, ["track", store.paths.root, "--to", "mlflow", "--uri", server.uri])
    done = CliRunner().invoke(cli, ["store", "import", server.uri, into], catch_exceptions=False)
    assert done.output.splitlines()[-1] == f"1 run imported into {into}: b-4-0"
    other = Store.open(into)
    assert str(numbers(other, "b-4-0")) == str(numbers(store, "b-4-0")), "infinities and NaN too"
    assert other.runs().to_pylist()[0]["model"] == "B/4"
    assert other.states()["b-4-0"].outcome == "done"
