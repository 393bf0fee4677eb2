"""The cluster as Ray shows it, told as slices and pools: which host is which worker of which slice, what is missing.

Pure functions over Ray's own node records; asking Ray and probing hosts is `watch`'s.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dit_grid.experiments.spec.slices import CORES_PER_CHIP
from dit_grid.orchestrator.core.events import SliceSeen

SLICE_NAME, WORKER_ID, POD_TYPE, TOPOLOGY = (
    "ray.io/tpu-slice-name",
    "ray.io/tpu-worker-id",
    "ray.io/tpu-pod-type",
    "ray.io/tpu-topology",
)
"""Labels that Ray's TPU support puts on a host (ray/_private/accelerators/tpu.py)."""


@dataclass(frozen=True)
class Node:
    """A host of the cluster that is there: its Ray node id, where its raylet listens, what it has, its labels."""

    id: str
    address: str
    port: int
    resources: Mapping[str, float]
    labels: Mapping[str, str]

    @property
    def chips(self) -> int:
        """Return how many TPU chips it has."""
        return int(self.resources.get("TPU", 0))

    @property
    def slice(self) -> str | None:
        """Return the name of the slice it belongs to, None if it is no TPU host."""
        return self.labels.get(SLICE_NAME) if self.chips and POD_TYPE in self.labels else None


def living(nodes: Iterable[Mapping[str, Any]], lost: Collection[str] = ()) -> list[Node]:
    """Return the hosts of `ray.nodes()` that are alive and not in `lost`, ids of hosts that no longer answer."""
    return [
        Node(
            n["NodeID"], n["NodeManagerAddress"], n["NodeManagerPort"], n.get("Resources") or {}, n.get("Labels") or {}
        )
        for n in nodes
        if n["Alive"] and n["NodeID"] not in lost
    ]


def pools_of(nodes: Iterable[Node]) -> dict[str, int]:
    """Return CPU cores and GPUs outside of slices; a slice's host computers belong to who holds the slice."""
    plain = [node for node in nodes if node.slice is None]
    counts = {kind.lower(): int(sum(node.resources.get(kind, 0) for node in plain)) for kind in ("CPU", "GPU")}
    return {kind: count for kind, count in counts.items() if count}


def slices_of(nodes: Iterable[Node], draining: Collection[str] = ()) -> tuple[SliceSeen, ...]:
    """Return every slice by name, a missing host as None; one with a host in `draining` drains as a whole."""
    members: dict[str, list[Node]] = {}
    for node in nodes:
        if node.slice is not None:
            members.setdefault(node.slice, []).append(node)
    return tuple(_slice(name, members[name], draining) for name in sorted(members))


def chips_of(pod_type: str) -> int:
    """Return the chips of a slice type: v3-32 has 16, for its number counts cores. Raises ValueError for no type."""
    found = re.fullmatch(r"(v\d+[a-z]*|tpu\d+x)-(\d+)", pod_type)
    if not found:
        raise ValueError(f"{pod_type!r} is no slice type; one is written like v3-32")
    return max(int(found[2]) // CORES_PER_CHIP.get(found[1], 1), 1)


def _slice(name: str, members: list[Node], draining: Collection[str]) -> SliceSeen:
    """Return one slice. Two hosts that claim one worker id, or an unknown type, make it broken, never an error."""
    kind = members[0].labels[POD_TYPE]
    try:
        count = max(chips_of(kind) // members[0].chips, 1)
    except ValueError:
        return SliceSeen(name, kind, (None,))
    hosts: list[str | None] = [None] * count
    doubled = False
    for node in members:
        worker = node.labels.get(WORKER_ID, "")
        rank = int(worker) if worker.isdigit() else -1
        if not 0 <= rank < count or hosts[rank] is not None or node.labels[POD_TYPE] != kind:
            doubled = True
            continue
        hosts[rank] = node.id
    if doubled:
        hosts = [None, *hosts[1:]]
    return SliceSeen(name, kind, tuple(hosts), any(node.id in draining for node in members))
