"""One driver at a time: exactly one taker wins, a dead or silent one is replaced, and it stops before that."""

import json
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from dit_grid.experiments.store import StorageError, Store
from dit_grid.orchestrator.control.lease import Ended, Held, Watcher

TTL_S = 30.0


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "store")


def watcher(*settings) -> Any:
    """A watcher whose answers a test may use without asking what they are."""
    return Watcher(*settings)


class Clock:
    """Seconds that only the test moves."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def of_another_machine(store, number=1):
    """Rewrite a claim so that it seems to come from a machine of which nothing is known."""
    path = f"{store.files.root}/control/driver-{number:06d}.json"
    with open(path) as file:
        record = json.load(file) | {"host": "elsewhere"}
    with open(path, "w") as file:
        json.dump(record, file)


def test_of_many_takers_exactly_one_gets_the_lease(store):
    barrier, got = threading.Barrier(16), []

    def take():
        mine = watcher(store)
        barrier.wait()
        got.append(mine.take())

    takers = [threading.Thread(target=take) for _ in range(16)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert len([lease for lease in got if lease]) == 1
    assert isinstance(watcher(store).look(), Held)


def test_a_lease_that_ended_can_be_taken_at_once_and_says_how_it_ended(store):
    with watcher(store).take() as lease:
        assert watcher(store).take() is None
        lease.end({"outcome": "done"})
    assert watcher(store).look() == Ended(1, {"outcome": "done"})
    assert watcher(store).take().number == 2


def test_a_killed_driver_of_this_machine_is_replaced_at_once(store):
    code = (
        "import sys, time; from dit_grid.experiments.store import Store; "
        "from dit_grid.orchestrator.control.lease import Watcher; "
        "lease = Watcher(Store.open(sys.argv[1])).take(); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, store.files.root], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        assert isinstance(watcher(store).look(), Held)
        assert watcher(store).take() is None
    finally:
        process.kill()
    assert _soon(lambda: watcher(store).take()).number == 2  # a zombie counts as dead, so nobody need reap it first
    process.wait()


def test_a_silent_driver_stops_before_anybody_may_replace_it(store):
    clock = Clock()
    lease = watcher(store, TTL_S, clock).take()
    of_another_machine(store)
    other = watcher(store, TTL_S, clock)
    assert isinstance(other.look(), Held)
    assert lease.holds
    clock.now += TTL_S * 0.7
    assert other.take() is None
    clock.now += TTL_S * 0.31
    assert other.take().number == 2
    assert not lease.holds
    assert not lease.renew()
    clock.now -= TTL_S
    assert not lease.holds, "lost is lost, whatever the clock says"


def test_a_driver_that_was_silent_goes_on_only_under_the_next_number(store):
    clock = Clock()
    lease = watcher(store, TTL_S, clock).take()
    of_another_machine(store)
    other = watcher(store, TTL_S, clock)
    assert isinstance(other.look(), Held)
    clock.now += TTL_S * 10
    assert lease.holds
    assert lease.number == 2
    of_another_machine(store, 2)
    assert other.take() is None, "whoever judged the first number finds the second taken"
    assert lease.renew()


def test_a_silent_driver_whose_store_does_not_answer_stops(store, monkeypatch):
    clock = Clock()
    lease = watcher(store, TTL_S, clock).take()

    def refuse(name, data):
        raise StorageError("no answer")

    monkeypatch.setattr(store.files, "create", refuse)
    clock.now += TTL_S * 0.7
    assert not lease.holds
    assert str(lease.trouble) == "no answer"


def test_a_beating_driver_is_never_replaced_and_leaves_one_beat(store):
    clock = Clock()
    lease = watcher(store, TTL_S, clock).take()
    of_another_machine(store)
    other = watcher(store, TTL_S, clock)
    for _ in range(10):
        clock.now += TTL_S / 2
        assert lease.renew()
        assert other.take() is None
    assert len([name for name in store.files.walk("control") if "beat" in name]) == 1


def test_a_driver_that_sees_a_later_one_stops(store):
    clock = Clock()
    lease = watcher(store, TTL_S, clock).take()
    of_another_machine(store)
    store.files.create("control/driver-000002.json", b"{}")
    assert not lease.renew()
    assert not lease.holds


def test_the_lease_beats_by_itself(store):
    with watcher(store, 0.6).take() as lease:
        first = watcher(store, 0.6).look().beat
        assert _soon(lambda: watcher(store, 0.6).look().beat > first + 1)
        assert lease.holds


def test_a_taker_that_judged_an_older_driver_does_not_rob_a_newer_one(store, monkeypatch):
    slow = watcher(store)
    judged = slow._look
    monkeypatch.setattr(slow, "_look", lambda: (judged(), watcher(store).take())[0])
    assert slow.take() is None
    assert watcher(store).look().number == 1


def _soon(try_, seconds=10.0):
    """The first true result of `try_` within `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := try_():
            return found
        time.sleep(0.02)
    raise AssertionError("nothing within 10 s")
