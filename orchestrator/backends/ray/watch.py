"""The cluster's health from this process's view: hosts that are lost, hosts that drain, Ray itself gone.

Ray's own view of a dead host is 14.5 s late with its default settings; a raylet's port that refuses a connection is
seen within a second, and a host that swallows packets within four.
"""

import threading
import time
from collections.abc import Callable, Collection

import ray

from dit_grid.orchestrator.backends.contract import now
from dit_grid.orchestrator.backends.ray.nodes import Node, living, pools_of, slices_of
from dit_grid.orchestrator.backends.ray.probes import Probes
from dit_grid.orchestrator.core.events import ClusterSeen, SliceDraining

LOOK_EVERY_S = 0.5
IDLE_LOOK_S = 5.0
"""On a Ray of our own hosts neither come nor go, and through Ray Client they cannot be probed."""


class ClusterWatch:
    """Looks at the cluster on a thread of its own. `changed` and `draining` are told what is new."""

    def __init__(
        self, changed: Callable[[ClusterSeen], None], drains: Callable[[SliceDraining], None], probing: bool = True
    ) -> None:
        self._changed, self._drains, self._probing = changed, drains, probing
        self._probes = Probes()
        self._told: dict[str, float] = {}
        self._nodes: dict[str, Node] = {}
        self.lost: frozenset[str] = frozenset()
        self.draining: frozenset[str] = frozenset()
        self.seen = self._look()
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="cluster-watch", daemon=True).start()

    def node(self, node_id: str) -> Node | None:
        """Return the host with this Ray id as it was last seen, also after it is gone."""
        return self._nodes.get(node_id)

    def living(self) -> list[Node]:
        """Return the hosts that were there at the last look."""
        return [node for node in self._nodes.values() if node.id in self._present and node.id not in self.lost]

    def gone(self, node_ids: Collection[str]) -> frozenset[str]:
        """Return those of the hosts that are not there any more."""
        return frozenset(node_ids) - {node.id for node in self.living()}

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S if self._probing else IDLE_LOOK_S):
            try:
                seen = self._look()
            except Exception:  # Ray is going away, which `local` and the backend's own check notice and say
                continue
            if (seen.pools, seen.slices) != (self.seen.pools, self.seen.slices):
                self.seen = seen
                self._changed(seen)

    def _look(self) -> ClusterSeen:
        records = ray.nodes()
        everybody = living(records)
        self._nodes |= {node.id: node for node in everybody}
        self._present = {node.id for node in everybody}
        if self._probing:
            self.lost = self._probes.lost(everybody)
        nodes = self.living()
        deadlines = _draining() if self._probing else {}
        self.draining = frozenset(deadlines)
        slices = slices_of(nodes, self.draining)
        for one in slices:
            hosts = [host for host in one.hosts if host in deadlines]
            if one.draining and hosts and one.name not in self._told:
                self._told[one.name] = deadline = min(deadlines[host] for host in hosts)
                self._drains(SliceDraining(now(), one.name, deadline))
        self._told = {name: at for name, at in self._told.items() if any(s.name == name and s.draining for s in slices)}
        return ClusterSeen(now(), pools_of(nodes), slices)


def _draining() -> dict[str, float]:
    """Return when each draining host goes, by id, in this process's clock; Ray tells it in wall-clock milliseconds."""
    from ray._private.state import state  # Ray Train's own preemption watcher asks here too; there is no public way

    wall_to_here = now() - time.time()
    return {node: deadline_ms / 1000 + wall_to_here for node, deadline_ms in state.get_draining_nodes().items()}
