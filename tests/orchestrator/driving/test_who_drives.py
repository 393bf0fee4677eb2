"""One driver at a time: a second launch of the same grid attaches, and takes over when the first dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.backends.contract import InProcess
from dit_grid.orchestrator.control.lease import Ended, Lease, Watcher
from dit_grid.orchestrator.control.requests import CANCEL, ask
from dit_grid.orchestrator.core import Phase
from dit_grid.orchestrator.driving.under_lease import drive_under
from dit_grid.orchestrator.planning.work import record_runs


def prepared(spec_file):
    spec = load_spec(spec_file)
    store = Store.create(spec.store)
    record_runs(spec, store)
    return spec, store


def taken(store) -> Lease:
    lease = Watcher(store).take()
    assert lease is not None
    return lease


def test_a_cancelled_run_is_not_started_and_the_watchers_are_told_how_it_ended(miniature_spec, tmp_path):
    spec, store = prepared(miniature_spec(tmp_path))
    small, large = spec.runs
    ask(store.files, CANCEL, [large.id])
    state = drive_under(taken(store), spec, store, InProcess(store), lambda grid: None)
    assert state is not None
    assert (state.runs[small.id].phase, state.runs[large.id].phase) == (Phase.DONE, Phase.CANCELLED)
    assert large.id not in store.states()
    ended = Watcher(store).look()
    assert isinstance(ended, Ended)
    assert ended.detail["phases"] == {small.id: "done", large.id: "cancelled"}


def test_a_driver_whose_lease_is_taken_stops_at_once(miniature_spec, tmp_path):
    spec, store = prepared(miniature_spec(tmp_path))
    lease = taken(store)
    store.files.create("control/driver-000002.json", b"{}")
    assert not lease.renew()
    assert drive_under(lease, spec, store, InProcess(store), lambda grid: None) is None
    assert store.states() == {}


def test_a_second_launch_attaches_and_goes_on_when_the_first_is_killed(miniature_spec, tmp_path):
    spec_file = miniature_spec(tmp_path)
    spec_file.write_text(spec_file.read_text().replace("[S, B]", "[S]"))
    command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(spec_file)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True)
    wait_for(lambda: list(Path(tmp_path).glob("store/control/driver-??????.json")), first)  # long before its runs end
    second = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert second.stdout is not None
    said = next((line for line in second.stdout if "is driven by" in line), "")
    assert f"is driven by process {first.pid} on" in said
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    output, _ = second.communicate(timeout=300)
    assert "that driver is gone; going on here" in output
    assert second.returncode == 0, output
    assert {state.outcome for state in Store.open(str(tmp_path / "store")).states().values()} == {"done"}


def wait_for(condition, process, seconds=400):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the launch ended too early"
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
