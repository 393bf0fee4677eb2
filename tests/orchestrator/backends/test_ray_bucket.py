"""A launch of processes on this machine whose store and checkpoints are on gs://, over HTTP, one of them killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import NotAStoreError, Store
from dit_grid.experiments.store.check import check
from dit_grid.experiments.training.checkpoint_list import live_checkpoints

pytestmark = pytest.mark.slow

HOW = """
train: {steps: 6000, batch: 16, log_every: 500}
evaluate: {every: 6000, settings: [{metrics: [heldout_loss], samples: 40}]}
execution: {resources: {cpus: 1}, checkpoint_every: 1000, steps_per_call: 100, keep_checkpoints: 2}
cluster: {settle_s: 0.5, backoff_s: 0.2}
"""
PATIENCE_S = 240


def launching(path):
    command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(path)]
    return subprocess.Popen(command, cwd=path.parent)  # where the figures of a store on gs:// go


def first_checkpoint(where, process):
    """The id of the run that committed one first, and the process that trains it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it wrote a checkpoint"
        with contextlib.suppress(NotAStoreError):  # not made yet
            store = Store.open(where)
            for run in store.states():
                if live_checkpoints(store, run):
                    return run, store.attempts(run)[-1].start["pid"]
        time.sleep(0.05)
    raise AssertionError("no checkpoint came")


def test_a_killed_worker_of_a_launch_on_gs_loses_nothing_and_doubles_nothing(
    bucket, ray_folder, tmp_path, small_spec, numbers
):
    where = "gs://bucket/miniature"
    process = launching(small_spec(tmp_path / "remote.yaml", where, HOW))
    try:
        run, pid = first_checkpoint(where, process)
        os.kill(pid, signal.SIGKILL)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
    local = small_spec(tmp_path / "local.yaml", tmp_path / "store", HOW)
    assert launching(local).wait(PATIENCE_S) == 0

    store = Store.open(where)
    assert numbers(store) == numbers(Store.open(load_spec(local).store))
    killed, last = store.attempts(run)
    assert (killed.outcome, last.outcome) == (None, "done")
    assert last.attempt.resume_step >= 1000
    assert sorted(state.attempt for state in store.states().values()) == [1, 2]
    assert not [finding for finding in check(store) if finding.is_error]
