"""A launch whose store and checkpoints are on gs://, over HTTP, with requests that fail and a kill on the way."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.check import check
from dit_grid.orchestrator.backends.contract import InProcess
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.work import record_runs, unfinished

pytestmark = pytest.mark.slow

HOW = """
train: {steps: 40, batch: 16, log_every: 10}
evaluate: {every: 40, settings: [{metrics: [heldout_loss], samples: 40}]}
execution: {checkpoint_every: 20, steps_per_call: 10, flush_s: 0.001, keep_checkpoints: 2}
"""
FAULTS = [
    {"method": "POST", "kind": "503", "share": 0.1, "times": 3},
    {"method": "POST", "kind": "429", "share": 0.1, "times": 3},
    {"method": "GET", "kind": "503", "share": 0.05, "times": 2},
    {"method": "POST", "match": "train/", "kind": "lost", "times": 2},
    {"method": "POST", "match": "manifest.ocdbt", "kind": "lost", "times": 1},
    {"method": "POST", "match": "whole.", "kind": "lost", "times": 1},
    {"method": "POST", "match": "evals/", "kind": "cut", "times": 1},
    {"method": "GET", "match": "prefix=", "kind": "slow", "seconds": 0.05, "share": 0.1, "times": 20},
]


def launch(path):
    spec = load_spec(str(path))
    store = Store.create(spec.store)
    record_runs(spec, store)
    drive(unfinished(spec), store, InProcess(store))
    return store


def test_a_grid_on_gs_survives_failing_requests_and_a_kill_with_the_same_numbers(bucket, tmp_path, small_spec, numbers):
    expected = launch(small_spec(tmp_path / "local.yaml", tmp_path / "store", HOW))
    remote = small_spec(tmp_path / "remote.yaml", "gs://bucket/miniature", HOW)
    faults = urllib.request.Request(f"{bucket}/_faults", json.dumps(FAULTS).encode(), method="POST")
    urllib.request.urlopen(faults, timeout=10).close()

    store = Store.create("gs://bucket/miniature")
    command = [sys.executable, str(Path(__file__)), str(remote)]
    first = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 240
    while not store.files.walk("checkpoints"):
        assert first.poll() is None, "it ended before it wrote a checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert subprocess.run(command, timeout=300).returncode == 0

    store = Store.open("gs://bucket/miniature")
    assert numbers(store) == numbers(expected)
    assert sorted(state.attempt for state in store.states().values()) == [1, 2]
    assert not [finding for finding in check(store) if finding.is_error]
    assert len([name for name in store.files.walk("checkpoints") if "whole." in name]) == 4
    with urllib.request.urlopen(f"{bucket}/_count", timeout=10) as answer:
        struck = json.load(answer)
    assert struck["lost"] == 4
    assert {"503", "429", "cut"} <= struck.keys()


if __name__ == "__main__":
    launch(sys.argv[1])
