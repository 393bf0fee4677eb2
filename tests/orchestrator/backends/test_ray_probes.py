"""Dead hosts, found by real connections to real ports."""

import socket

import pytest

from dit_grid.orchestrator.backends.ray import probes
from dit_grid.orchestrator.backends.ray.nodes import Node


def raylet(port):
    return Node(f"host-{port}", "127.0.0.1", port, {}, {})


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def refusing():
    with socket.socket() as bound:  # nobody else gets the port, and nobody listens on it
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_a_host_that_refuses_is_lost_at_the_second_look_also_for_a_driver_that_comes_after_its_death(
    listening, refusing
):
    asked = probes.Probes()
    hosts = [raylet(listening), raylet(refusing)]
    assert asked.lost(hosts) == frozenset()
    assert asked.lost(hosts) == {f"host-{refusing}"}


def test_a_host_that_comes_back_is_not_lost_any_more():
    asked = probes.Probes()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        host = raylet(server.getsockname()[1])
        asked.lost([host])
        assert asked.lost([host])
        server.listen()
        assert not asked.lost([host])


def test_a_host_never_heard_of_is_left_to_ray_and_a_silent_one_is_lost_at_the_third_look(monkeypatch, listening):
    monkeypatch.setattr(probes, "CONNECT_S", 0.1)
    asked = probes.Probes()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # a full queue swallows packets, as a host that hangs does
            filler.setblocking(False)
            filler.connect_ex(address)
        host = raylet(address[1])
        assert [asked.lost([host]) for _ in range(4)] == [frozenset()] * 4
        known = probes.Probes()
        known.lost([raylet(listening)])
        known._heard.add(host.id)
        assert [bool(known.lost([host])) for _ in range(3)] == [False, False, True]
        for filler in fillers:
            filler.close()
