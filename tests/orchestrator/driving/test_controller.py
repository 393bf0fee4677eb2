"""A grid on a cluster goes on whatever ends: the laptop that launched it, and the controller that drives it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from dit_grid.experiments.store import Store
from dit_grid.orchestrator.control.lease import Held, Watcher


@pytest.fixture
def address(ray_folder):
    """A Ray cluster of one node with two cores."""
    from dit_grid.orchestrator.backends.ray.fake_slices import fake_cluster

    with fake_cluster({}) as cluster:
        yield cluster.address


def launched(spec_file, address):
    command = [
        sys.executable,
        "-m",
        "dit_grid.orchestrator",
        "launch",
        str(spec_file),
        "--address",
        address,
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def wait_for(condition, seconds=200):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def driver(folder):
    """Who drives, as the store says it; None while nobody does."""
    try:
        found = Watcher(Store.open(str(folder / "store"))).look()
    except ValueError:
        return None
    return found if isinstance(found, Held) else None


def test_killing_the_laptop_and_the_controller_stops_nothing(address, miniature_spec, tmp_path):
    spec = miniature_spec(tmp_path)
    laptop = launched(spec, address)
    wait_for(lambda: driver(tmp_path) and list(tmp_path.glob("store/checkpoints/*/a*/s?????????")))
    first = driver(tmp_path)
    assert first.holder["pid"] != laptop.pid
    os.kill(laptop.pid, signal.SIGKILL)
    laptop.wait()
    assert laptop.stdout is not None
    laptop.stdout.close()
    os.kill(first.holder["pid"], signal.SIGKILL)
    wait_for(lambda: (now := driver(tmp_path)) and now.number > first.number)

    again = launched(spec, address)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output

    store = Store.open(str(tmp_path / "store"))
    states = store.states()
    assert {state.outcome for state in states.values()} == {"done"}
    assert {state.attempt for state in states.values()} == {1}, "the gangs were adopted, not started again"
    assert store.train().num_rows == 2 * 12
