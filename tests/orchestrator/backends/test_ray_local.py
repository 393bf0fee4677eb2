"""A launch on this machine whose Ray dies under it: it ends with one line, and the same command goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dit_grid.experiments.store import Store

pytestmark = pytest.mark.slow

PATIENCE_S = 120


def launched(spec):
    command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(spec)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def processes_of(session, name=""):
    """Pids of the session's processes whose command holds `name`; a launch and all its processes are one session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == session and fields[0] != "Z" and name in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def steps(store):
    return {int(path.name[1:]) for path in Path(store).glob("checkpoints/*/a*/s?????????")}


def killed_ray(spec, store, part):
    """Launch, kill a part of Ray once there is a new checkpoint, and return the exit status and what was said."""
    before = max(steps(store), default=0)
    process = launched(spec)
    try:
        wait_for(lambda: process.poll() is not None or max(steps(store), default=0) > before)
        assert process.poll() is None, process.communicate()
        (victim,) = processes_of(process.pid, part)
        os.kill(victim, signal.SIGKILL)
        _, said = process.communicate(timeout=60)
        wait_for(lambda: not processes_of(process.pid))
    finally:
        for pid in processes_of(process.pid):
            os.kill(pid, signal.SIGKILL)
    return process.returncode, said


def test_when_ray_dies_the_launch_says_so_and_the_same_command_goes_on(miniature_spec, tmp_path):
    spec, store = miniature_spec(tmp_path), tmp_path / "store"
    text = spec.read_text().replace("steps: 1200", "steps: 8000").replace("every: 400", "every: 8000")
    spec.write_text(
        text.replace("checkpoint_every: 8000", "checkpoint_every: 200").replace("samples: 100", "samples: 20")
    )
    for part in ("raylet/raylet", "gcs_server"):
        status, said = killed_ray(spec, store, part)
        assert status == 1, said
        lines = [line for line in said.splitlines() if line]
        assert "is gone under this launch" in lines[-1]
        assert "Traceback" not in said
    process = launched(spec)
    process.communicate(timeout=PATIENCE_S * 2)
    assert process.returncode == 0
    last = [Store.open(str(store)).attempts(run)[-1] for run in Store.open(str(store)).states()]
    assert {record.outcome for record in last} == {"done"}
    assert max(record.attempt.resume_step for record in last) > 0
