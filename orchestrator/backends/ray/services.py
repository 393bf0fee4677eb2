"""Ray's own services, and which of them a Ray of ours on this machine starts without.

Autoscaler, web page and forwarding of logs are a Python process each, started one after the other: half of the time
that Ray takes to come up, for what nobody asks there. A cluster of somebody else's has what it was started with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

UNASKED = ("start_monitor", "start_api_server", "start_log_monitor")
"""What a node of Ray 2.60 starts them by; `ray.init` has an option for none of the three."""


@contextmanager
def without_unasked() -> Iterator[None]:
    """Let nodes that start in the block leave out the services that are UNASKED; one that has no such service has all
    that it would have."""
    from ray._private.node import Node

    known: dict[str, Any] = {name: getattr(Node, name) for name in UNASKED if hasattr(Node, name)}
    for name in known:
        setattr(Node, name, _nothing)
    try:
        yield
    finally:
        for name, start in known.items():
            setattr(Node, name, start)


def _nothing(*arguments: Any, **options: Any) -> None:
    """Start nothing."""
