"""What a Ray of ours starts without; that no such process is there in a launch is seen in `test_launch`."""

import pytest
from ray._private.node import Node

from dit_grid.orchestrator.backends.ray import services


def left_out():
    """A start that fails, in the block, with all services left out."""
    with services.without_unasked():
        assert all(getattr(Node, name)(None, include_dashboard=False) is None for name in services.UNASKED)
        raise RuntimeError("it did not come up")


def test_the_services_are_left_out_in_the_block_alone_and_also_when_it_fails():
    before = {name: getattr(Node, name) for name in services.UNASKED}  # a Ray that calls one otherwise is noticed here
    with pytest.raises(RuntimeError, match="did not come up"):
        left_out()
    assert {name: getattr(Node, name) for name in services.UNASKED} == before


def test_a_ray_without_such_a_service_is_left_as_it_is(monkeypatch):
    monkeypatch.delattr(Node, "start_monitor")
    with services.without_unasked():
        assert not hasattr(Node, "start_monitor")
    assert not hasattr(Node, "start_monitor")
