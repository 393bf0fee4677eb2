"""Bringing up a cluster: its files, this program as a wheel for its hosts, and the watch for preemptions on each.

What runs there once it is up is `backends`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.orchestrator.clusters.files import write_cluster as write_cluster
    from dit_grid.orchestrator.clusters.wheel import build_wheel as build_wheel

__getattr__, __dir__ = on_first_use(__name__)
