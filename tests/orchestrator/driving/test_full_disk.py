"""A disk that is full in the middle of a grid: its runs wait, nothing is lost, and it goes on once there is space."""

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import StorageError, Store, local
from dit_grid.experiments.store.check import check
from dit_grid.orchestrator.backends.contract import InProcess
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.control.lease import Held, Watcher
from dit_grid.orchestrator.core import Phase
from dit_grid.orchestrator.driving import patience
from dit_grid.orchestrator.driving.under_lease import drive_under
from dit_grid.orchestrator.planning.work import record_runs

HOW = """
train: {{steps: {steps}, batch: 8, log_every: 10}}
evaluate: {{every: {steps}, settings: [{{metrics: [heldout_loss], samples: 32}}]}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: {every}, steps_per_call: 10, flush_s: 0.01, max_retries: 0}}
cluster: {{settle_s: 0.1, backoff_s: 0.02, backoff_max_s: {longest_s}}}
"""


class Disk:
    """Takes `room` more files, then none for so many tries."""

    def __init__(self, room, refusals):
        self.room, self.refusals, self.write = room, refusals, local._write_durably

    def __call__(self, path, data):
        self.room -= 1
        if self.room < 0 and self.refusals > 0 and data:
            self.refusals -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        self.write(path, data)


def driven(spec_file):
    """Drive the grid in this process to its end; its store."""
    spec = load_spec(spec_file)
    store = Store.create(spec.store)
    record_runs(spec, store)
    lease = Watcher(store).take()
    assert lease is not None
    state = drive_under(lease, spec, store, InProcess(store), lambda grid: None)
    assert state is not None
    assert {run.phase for run in state.in_order()} == {Phase.DONE}
    return store


@pytest.fixture(scope="module")
def one_model(small_spec):
    """A function that writes a grid of the smaller model alone: a disk is as full for one run as for many."""

    def write(path, store, steps=40, every=10, longest_s=0.05):
        return small_spec(path, store, HOW.format(steps=steps, every=every, longest_s=longest_s), sizes="S")

    return write


@pytest.fixture(scope="module")
def peace(one_model, numbers, tmp_path_factory):
    """The numbers of a grid that always had room, and how many files it wrote."""
    folder, disk = tmp_path_factory.mktemp("peace"), Disk(10**9, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_write_durably", disk)
        store = driven(one_model(folder / "small.yaml", folder / "store"))
    return numbers(store), 10**9 - disk.room


@pytest.mark.parametrize("seed", range(5))
def test_a_disk_that_is_full_at_any_write_costs_no_number_and_no_retry(
    peace, one_model, numbers, tmp_path, monkeypatch, seed
):
    """No run may fail for it, though none has a retry; what was written when the room was gone comes again."""
    chance = random.Random(seed)
    spec = one_model(tmp_path / "small.yaml", tmp_path / "store")
    disk = Disk(chance.randrange(8, peace[1]), chance.randrange(1, 30))  # the first are the store's own and the lease
    monkeypatch.setattr(local, "_write_durably", disk)
    monkeypatch.setattr(patience, "LOOK_S", 0.05)
    store = driven(spec)
    assert numbers(store) == peace[0]
    assert [finding for finding in check(store) if finding.is_error] == []
    assert store.events()["kind"].to_pylist()[0] == journal.BEGAN
    assert journal.replayed(store.events().to_pylist()).finished


def test_a_lease_is_kept_on_a_full_disk_by_beats_without_a_word(tmp_path, monkeypatch):
    store = Store.create(tmp_path / "store")
    lease = Watcher(store, 30.0).take()
    assert lease is not None
    lease.note = {"waits": {"storage": ["a"]}}
    monkeypatch.setattr(local, "_write_durably", Disk(0, 10**9))
    assert lease.renew()
    assert lease.renew()
    assert lease.note_is_old is False, "it is to be said when there is room"
    found = Watcher(store, 30.0).look()
    assert isinstance(found, Held)
    assert found.beat == 1


def test_a_driver_whose_store_takes_nothing_ends_with_the_true_cause(one_model, tmp_path, monkeypatch):
    spec_file = one_model(tmp_path / "small.yaml", tmp_path / "store")
    spec = load_spec(spec_file)
    store = Store.create(spec.store)
    record_runs(spec, store)
    lease = Watcher(store, 3.0).take()
    assert lease is not None

    def read_only(path, data):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(local, "_write_durably", read_only)
    with pytest.raises(StorageError, match="the file system is read-only") as caught:
        drive_under(lease, spec, store, InProcess(store), lambda grid: None)
    assert "\n" not in str(caught.value)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of eight megabytes for the test, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def filled(path):
    """Fill the disk to the last byte with a file."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"0" * 4096):
            pass


def test_a_launch_on_a_disk_that_fills_up_waits_and_goes_on_when_there_is_space(one_model, small_disk, tmp_path):
    store_at = small_disk / "store"
    spec = one_model(tmp_path / "small.yaml", store_at, steps=3000, every=500, longest_s=1)
    command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(spec)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        wait_for(lambda: list(store_at.glob("checkpoints/*/whole.*")) or process.poll() is not None)
        filled(small_disk / "other.bin")
        assert process.stdout is not None
        waits = next((line for line in process.stdout if "waiting storage: " in line), "it ended")
        time.sleep(2)  # it goes on waiting
        assert process.poll() is None, waits + process.communicate()[0]
        (small_disk / "other.bin").unlink()
        said, _ = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    assert "the disk is full: free space" in waits
    store = Store.open(store_at)
    assert {state.outcome for state in store.states().values()} == {"done"}
    assert store.train().num_rows == 300
    assert [finding for finding in check(store) if finding.is_error] == []


def wait_for(condition):
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
