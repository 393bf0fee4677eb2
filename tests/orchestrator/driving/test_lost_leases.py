"""Every way of losing a lease ends: the same command goes on, by itself, whatever became of the driver before it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import StorageError, Store
from dit_grid.orchestrator.backends import ray
from dit_grid.orchestrator.backends.contract import InProcess
from dit_grid.orchestrator.control.lease import Ended, Held, Lease, Watcher
from dit_grid.orchestrator.core import Phase
from dit_grid.orchestrator.driving import attach
from dit_grid.orchestrator.driving.under_lease import drive_under
from dit_grid.orchestrator.driving.who_drives import launch_here
from dit_grid.orchestrator.planning.work import record_runs

SILENCE_S = 0.5
"""How long the driver that left a store open may be silent, by its own word."""

WITHIN_S = 500.0
"""A whole launch of two tiny runs on busy cores; a launch that watches for ever is far beyond it."""

LONG = 60_000

HOW = """
train: {steps: 40, batch: 8, log_every: 10}
evaluate: {every: 40, settings: [{metrics: [heldout_loss], samples: 32}]}
execution: {resources: {cpus: 1}, checkpoint_every: 10, steps_per_call: 10, flush_s: 0.2}
cluster: {settle_s: 0.5, backoff_s: 0.2, lease_s: 3}
"""


def launched(spec):
    command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(spec)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def ended(process):
    """What a launch said by its end, which must come."""
    try:
        said, _ = process.communicate(timeout=WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, said
    return said


def claim(store, number):
    return Path(store) / f"control/driver-{number:06d}.json"


def leave_open(store, **changes):
    """Make the store look as if its last driver had been cut off before a run's end, with these facts of it changed."""
    number = max(int(name.name[7:13]) for name in (Path(store) / "control").glob("driver-*"))
    for name in (Path(store) / "control").glob("driver-*"):
        if not name.name.endswith(f"{number:06d}.json"):
            name.unlink()
    record = json.loads(claim(store, number).read_text()) | {"ttl_s": SILENCE_S} | changes
    claim(store, number).write_text(json.dumps(record))
    next(iter(sorted((Path(store) / "attempts").glob("*.done.json")))).unlink()
    return number


@pytest.fixture(scope="module")
def finished(small_spec, numbers, tmp_path_factory):
    """A grid of one run driven in peace: its folder and its numbers."""
    folder = tmp_path_factory.mktemp("peace")
    spec = load_spec(small_spec(folder / "small.yaml", folder / "store", HOW, sizes="S"))
    store = Store.create(spec.store)
    record_runs(spec, store)
    lease = Watcher(store).take()
    assert lease is not None
    assert drive_under(lease, spec, store, InProcess(store), lambda grid: None)
    return folder, numbers(store)


@pytest.fixture
def alarm():
    """Ends what watches for ever in this process."""

    def late(*_):
        raise TimeoutError("it did not end in time")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(round(WITHIN_S / 4))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def went_on(alarm, finished, small_spec, numbers, tmp_path, monkeypatch, capsys):
    """A function that launches a copy of the grid whose last driver left it open, the runs in this process: its number.

    A launch by the command line, its Ray and all, takes over in `test_launch`, and wakes there from a sleep past its
    lease; of other boots in `test_launch_faults`.
    """
    monkeypatch.setattr(ray, "RayBackend", lambda where: InProcess(Store.open(where)))
    monkeypatch.setattr(attach, "LOOK_EVERY_S", 0.1)
    shutil.copytree(finished[0] / "store", tmp_path / "store")
    spec = load_spec(small_spec(tmp_path / "small.yaml", tmp_path / "store", HOW, sizes="S"))

    def launch(**changes):
        number = leave_open(tmp_path / "store", **changes)
        finish = launch_here(spec, lambda: nullcontext(lambda grid: None))
        assert finish.state is not None
        assert {run.phase for run in finish.state.in_order()} == {Phase.DONE}
        assert capsys.readouterr().out.count("that driver is gone; going on here") == 1
        assert claim(tmp_path / "store", number + 1).exists()
        assert numbers(Store.open(tmp_path / "store")) == finished[1]

    return launch


@pytest.mark.parametrize(
    "changes",
    [{"boot": "another-boot"}, {"host": "elsewhere"}, {"pids": "another container"}],
    ids=["reboot", "other host", "other container"],
)
def test_a_launch_takes_over_from_a_driver_of_which_it_can_know_nothing(went_on, changes):
    went_on(**changes)


def test_a_store_copied_in_mid_run_is_driven_on_though_its_driver_lives_elsewhere(went_on):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alive:
        started = Path(f"/proc/{alive.pid}/stat").read_text().rpartition(")")[2].split()[19]
        went_on(pid=alive.pid, started=started)  # the copy's claim names a process that is there
        alive.communicate(b"\n")


@pytest.mark.slow
def test_a_frozen_driver_that_was_replaced_watches_the_one_that_replaced_it(small_spec, tmp_path):
    """The runs go on meanwhile: they are long enough to outlast the lease."""
    spec = small_spec(tmp_path / "small.yaml", tmp_path / "store", HOW.replace("steps: 40", f"steps: {LONG}"))
    spec.write_text(
        spec.read_text()
        .replace("every: 40,", f"every: {LONG},")
        .replace("checkpoint_every: 10", "checkpoint_every: 500")
    )
    first = launched(spec)
    wait_for(lambda: list(tmp_path.glob("store/checkpoints/*/whole.*")), first)
    second = launched(spec)
    os.kill(first.pid, signal.SIGSTOP)
    wait_for(lambda: claim(tmp_path / "store", 2).exists(), second)
    os.kill(first.pid, signal.SIGCONT)
    said = ended(first)
    assert f"is driven by process {second.pid} on" in said
    assert f"is driven by process {first.pid} on" not in said
    assert f"is driven by process {first.pid} on" in ended(second)
    store = Store.open(tmp_path / "store")
    assert {state.outcome for state in store.states().values()} == {"done"}
    assert store.train().num_rows == 2 * LONG // 10


class Clock:
    """Seconds that only the test moves, an offset away from another's."""

    def __init__(self, at=1000.0):
        self.at = at

    def __call__(self):
        return self.at


@pytest.mark.parametrize("offset_s", [-3600.0, 3600.0])
def test_clocks_an_hour_apart_neither_rob_a_driver_nor_keep_its_place(tmp_path, offset_s):
    store = Store.create(tmp_path / "store")
    holders, watchers = Clock(), Clock(1000.0 + offset_s)
    lease = Watcher(store, 30.0, holders).take()
    assert lease is not None
    claim(store.files.root, 1).write_text(json.dumps({"host": "elsewhere", "ttl_s": 30.0}))
    other = Watcher(store, 30.0, watchers)
    for _ in range(5):
        holders.at, watchers.at = holders.at + 19, watchers.at + 19
        assert lease.renew()
        assert isinstance(other.look(), Held)
    watchers.at += 30.1
    taken = other.take()
    assert taken is not None
    assert taken.number == 2
    assert not lease.renew()


def test_a_watcher_that_was_frozen_itself_robs_nobody(tmp_path, monkeypatch):
    """Time that passes between its look at the store and its judgement is its own, not the driver's silence."""
    store, clock = Store.create(tmp_path / "store"), Clock()
    lease = Watcher(store, 30.0, clock).take()
    assert lease is not None
    claim(store.files.root, 1).write_text(json.dumps({"host": "elsewhere", "ttl_s": 30.0}))
    other = Watcher(store, 30.0, clock)
    assert isinstance(other.look(), Held)
    walk = store.files.walk

    def frozen(folder, prefix=""):
        found = walk(folder, prefix)
        clock.at += 3600
        return found

    monkeypatch.setattr(store.files, "walk", frozen)
    assert other.take() is None


def test_a_driver_that_lost_its_lease_says_so_and_nobody_waits(tmp_path, monkeypatch):
    store, clock = Store.create(tmp_path / "store"), Clock()
    mine = Watcher(store, 30.0, clock)
    lease = mine.take()
    assert lease is not None
    with monkeypatch.context() as patch:
        patch.setattr(store.files, "create", refusing)
        clock.at += 25
        assert not lease.holds
        lease.give_up()  # which cannot be said just now
    assert mine.look() is None, "nobody waits for himself"
    assert isinstance(Watcher(store, 30.0, clock).look(), Held)
    lease.give_up()
    assert Watcher(store, 30.0, clock).look() is None
    again = mine.take()
    assert again is not None
    assert again.number == 2


def refusing(name, data):
    raise StorageError("no answer")


def test_a_lease_is_as_long_as_its_holder_said_whatever_the_watchers_think(tmp_path):
    store, clock = Store.create(tmp_path / "store"), Clock()
    assert Watcher(store, 60.0, clock).take() is not None
    claim(store.files.root, 1).write_text(json.dumps({"host": "elsewhere", "ttl_s": 60.0}))
    other = Watcher(store, 1.0, clock)
    other.look()
    clock.at += 59
    assert isinstance(other.look(), Held)
    clock.at += 2
    assert other.look() is None


def test_a_driver_that_fails_tells_those_who_watch(tmp_path, miniature_spec):
    spec = load_spec(miniature_spec(tmp_path))
    store = Store.create(spec.store)
    record_runs(spec, store)
    lease = Watcher(store).take()
    assert isinstance(lease, Lease)

    class Broken(InProcess):
        def poll(self, timeout_s):
            raise RuntimeError("the cluster is on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        drive_under(lease, spec, store, Broken(store), lambda grid: None)
    told = Watcher(store).look()
    assert isinstance(told, Ended)
    assert told.detail == {"outcome": "failed", "message": "RuntimeError: the cluster is on fire"}
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def wait_for(condition, process):
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
