"""How a run's arrays lie over devices: a mesh of two named axes, batches split over both, state by the layout.

`data` counts copies of the state, `fsdp` the devices that share one copy between them; the compiler adds the
communication. Any number of devices and hosts gives the same losses up to the rounding of sums in another order.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from dit_grid.experiments.spec.execution import ExecutionSpec

DATA, FSDP = AXES = "data", "fsdp"


class LayoutError(ValueError):
    """A layout or a batch that these devices cannot have; the message is one line for the user."""


def device_mesh(
    batch: int, execution: ExecutionSpec | None = None, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """Return the mesh (copies of the state, devices that share a copy) of the devices, by default all of all hosts.

    Devices of a host stand together, so that each host reads its own rows of a batch and gathers parameters within
    itself. Raises LayoutError where a batch or the spec's mesh does not divide among them.
    """
    found = sorted(jax.devices() if devices is None else devices, key=lambda device: (device.process_index, device.id))
    if batch % len(found):
        raise LayoutError(
            f"a batch of {batch} images does not divide among {len(found)} devices; change train.batch or "
            f"train.accumulate, or run on a divisor of {batch} devices"
        )
    return Mesh(np.array(found).reshape(-1, _sharers(execution or ExecutionSpec(), found)), AXES)


def _sharers(execution: ExecutionSpec, devices: Sequence[jax.Device]) -> int:
    """How many devices share one copy of the state along the mesh's second axis."""
    if execution.mesh is None:
        return 1 if execution.layout == "replicated" else devices_a_host(devices)
    asked = execution.mesh
    if len(devices) % asked.fsdp or (asked.data and asked.data * asked.fsdp != len(devices)):
        shown = f"{{data: {asked.data}, fsdp: {asked.fsdp}}}" if asked.data else f"{{fsdp: {asked.fsdp}}}"
        raise LayoutError(
            f"execution.mesh {shown} does not divide {len(devices)} devices; leave data out and take an fsdp that "
            f"divides them, for example {devices_a_host(devices)}, those of a host"
        )
    return asked.fsdp


def devices_a_host(devices: Sequence[jax.Device]) -> int:
    """Return how many devices each host holds; 1 where hosts differ."""
    counts = set(Counter(device.process_index for device in devices).values())
    return counts.pop() if len(counts) == 1 else 1


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of stacked batches (K, B, ...): B is split over all devices."""
    return NamedSharding(mesh, PartitionSpec(None, AXES))


def rows_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of one batch (B, ...), or of its tokens: B is split over all devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def own_rows(mesh: Mesh, batch: int) -> slice:
    """Return which rows of a global batch this process's devices hold, and so has to read; alone, all of them."""
    if jax.process_count() == 1:
        return slice(None)
    held = batch_sharding(mesh).addressable_devices_indices_map((1, batch))
    bounds = [index[1].indices(batch)[:2] for index in held.values() if index is not None]
    return slice(min(first for first, _ in bounds), max(end for _, end in bounds))


def state_sharding(mesh: Mesh | AbstractMesh, shapes: Any, execution: ExecutionSpec) -> Any:
    """Return a sharding for each array of a training state, given as shapes.

    Parameters, their average and the optimizer's moments are split alike over the devices that share a copy; "fsdp"
    splits them over the copies as well, so that there is one in all. The leading axis, by which layers are scanned,
    stays whole. An array that does not divide is copied.
    """
    whole = execution.layout == "replicated"
    one_copy = execution.layout == "fsdp"

    def one(shape: jax.ShapeDtypeStruct) -> NamedSharding:
        spec = PartitionSpec() if whole else _split(mesh, shape.shape, one_copy)
        return NamedSharding(mesh, spec)

    return jax.tree.map(one, shapes)


def _split(mesh: Mesh | AbstractMesh, shape: tuple[int, ...], one_copy: bool) -> PartitionSpec:
    """Return the first way to split that divides: along the longest axis, else along two, else by one mesh axis."""
    longest_first = sorted(range(1, len(shape)), key=lambda axis: -shape[axis])
    for split in _ways(longest_first, one_copy):
        parts = {axis: int(np.prod([mesh.shape[name] for name in names])) for axis, names in split.items()}
        if all(shape[axis] % count == 0 for axis, count in parts.items()):
            return PartitionSpec(*(split.get(axis) for axis in range(max(split) + 1)))
    return PartitionSpec()


def _ways(axes: Sequence[int], one_copy: bool) -> Iterator[Mapping[int, tuple[str, ...]]]:
    """Yield ways to split an array, as mesh axes by array axis, the finest first."""
    if one_copy:
        yield from ({axis: AXES} for axis in axes)
        yield from ({a: (FSDP,), b: (DATA,)} for a, b in itertools.permutations(axes, 2))
    yield from ({axis: (FSDP,)} for axis in axes)
    if one_copy:
        yield from ({axis: (DATA,)} for axis in axes)


def put_batch(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """Return the global array, of which this host's devices hold their parts."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
