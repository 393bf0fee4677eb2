"""Where the processes of a gang go: which resources each rank gets, on which host, and their reservation.

A slice is chosen by name, so Ray's own two-step choice (it reserves a slice's head, asks it for its name, and takes a
slice with a missing host as readily as a whole one) is not used; rank i is pinned to worker i.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.tpu import slice_placement_group

from dit_grid.experiments.spec.execution import ResourceSpec
from dit_grid.orchestrator.backends.ray.nodes import POD_TYPE, SLICE_NAME, TOPOLOGY, WORKER_ID, Node

LOOK_S = 0.05
WHOLE_S = 1
"""Ray waits for a group by whole seconds and cuts the rest off: told half a second, it does not wait at all."""

RESERVE_S = 60.0
"""A slice that the ledger calls free is reserved at once; where it takes longer, somebody else holds hosts of it."""

REMOVED_S = 10.0


class CannotStartError(Exception):
    """A gang cannot be brought up; `permanent` if asking again can never help."""

    def __init__(self, message: str, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


@dataclass(frozen=True)
class Shape:
    """What a gang holds: a bundle of resources a rank, the labels of the host it must be on, the slice's topology.

    `grouped` says whether the bundles are reserved together; one process on a pool needs no reservation.
    """

    bundles: tuple[dict[str, float], ...]
    labels: tuple[dict[str, str], ...]
    topology: str = ""
    generation: str = ""
    grouped: bool = True


def shape_on_slice(name: str, nodes: Sequence[Node]) -> Shape:
    """Return the shape of a gang on the whole slice: a process a host with all its chips.

    Raises CannotStartError if a host is missing.
    """
    members = sorted((node for node in nodes if node.slice == name), key=lambda node: int(node.labels[WORKER_ID]))
    if not members or [int(node.labels[WORKER_ID]) for node in members] != list(range(len(members))):
        raise CannotStartError(f"slice {name} is not whole any more")
    labels = tuple({SLICE_NAME: name, WORKER_ID: str(rank)} for rank in range(len(members)))
    bundles = tuple({"TPU": float(node.chips)} for node in members)
    first = members[0].labels
    return Shape(bundles, labels, first.get(TOPOLOGY, ""), first[POD_TYPE].split("-")[0])


def shape_on_pool(resources: ResourceSpec, nodes: Sequence[Node]) -> Shape:
    """Return the shape of a gang on GPUs or CPU cores: one process if a host has so many, else as few as divide them.

    Raises CannotStartError where no host has any.
    """
    kind, count = resources.kind.upper(), resources.count
    most = max((int(node.resources.get(kind, 0)) for node in nodes if node.slice is None), default=0)
    if not most:
        raise CannotStartError(f"no host of the cluster has a {resources.kind}")
    world = next(world for world in range(1, count + 1) if count % world == 0 and count // world <= most)
    bundle = {kind: float(count // world)}
    if kind == "GPU":
        bundle["CPU"] = 1.0
    return Shape((bundle,) * world, ({},) * world, grouped=world > 1)


def reserve(shape: Shape, name: str, cancelled: Callable[[], bool]) -> Any:
    """Return the placement group with all of the gang's bundles, or None where none is needed.

    Waits up to RESERVE_S; raises CannotStartError after that, or when `cancelled`, and has then freed everything.
    """
    if not shape.grouped:
        return None
    group = _group(shape, name)
    began = time.monotonic()
    try:
        while not group.wait(WHOLE_S):
            waited_s = time.monotonic() - began
            if cancelled() or waited_s > RESERVE_S:
                raise CannotStartError(f"its hosts were not free within {waited_s:.0f} s; does another job hold them?")
    except BaseException:  # an interrupt too: the group is detached and would outlive this process
        free(group)
        raise
    return group


def free(group: Any) -> None:
    """Remove a placement group and wait until what it held is free."""
    if group is None:
        return
    remove_placement_group(group)
    deadline = time.monotonic() + REMOVED_S
    while placement_group_table(group).get("state") not in ("REMOVED", None) and time.monotonic() < deadline:
        time.sleep(LOOK_S)


def rank_options(shape: Shape, group: Any, rank: int) -> dict[str, Any]:
    """Return the options of the rank's actor: its resources, out of the group if there is one."""
    needs = dict(shape.bundles[rank])
    options: dict[str, Any] = {"num_cpus": needs.pop("CPU", 0), "num_gpus": needs.pop("GPU", 0), "resources": needs}
    if group is not None:
        options["scheduling_strategy"] = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group, rank)
    return options


def _group(shape: Shape, name: str) -> Any:
    from ray._private.accelerators.tpu import VALID_TPU_TOPOLOGY

    if shape.topology in VALID_TPU_TOPOLOGY.get(shape.generation, ()):
        return slice_placement_group(
            shape.topology,
            shape.generation,
            resources_per_bundle={"CPU": 0, **shape.bundles[0]},
            bundle_label_selector=list(shape.labels),
            lifetime="detached",
            name=name,
        ).placement_group
    # A topology that Ray refuses, such as a v3-8's 2x2: the same reservation without Ray's table.
    labels = list(shape.labels) if any(shape.labels) else None
    return placement_group(
        list(shape.bundles), strategy="SPREAD", bundle_label_selector=labels, lifetime="detached", name=name
    )
