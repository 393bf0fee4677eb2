"""How a run's arrays lie over devices: a mesh of named axes, batches split over two of them, state by the layout.

`data` counts copies of the state, `fsdp` the devices that share one copy between them, and `tensor`, where a spec asks
for it, those that compute one network together; the compiler adds the communication. Any number of devices and hosts
gives the same losses up to the rounding of sums in another order.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from dit_grid.experiments.spec.execution import ExecutionSpec
from dit_grid.model.tensor_axis import FUSED, TensorAxis, divided_axis, parameter_names

DATA, FSDP, TENSOR = "data", "fsdp", "tensor"
ROWS = DATA, FSDP
"""Axes that batches are split over; devices along `tensor` see the same images."""


class LayoutError(ValueError):
    """A layout or a batch that these devices cannot have; the message is one line for the user."""


def device_mesh(
    batch: int, execution: ExecutionSpec | None = None, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """Return the mesh (copies of the state, devices that share a copy[, devices that share a network]) of the devices.

    By default those are all of all hosts. Devices of a host stand together, so that each host reads its own rows of a
    batch and gathers parameters within itself. Raises LayoutError where a batch or the spec's mesh does not divide
    among them.
    """
    found = sorted(jax.devices() if devices is None else devices, key=lambda device: (device.process_index, device.id))
    sharers, together = _sizes(execution or ExecutionSpec(), found)
    readers = len(found) // together
    if batch % readers:
        among = f"{len(found)} devices" + f", {together} to a network" * (together > 1)
        raise LayoutError(
            f"a batch of {batch} images does not divide among {among}; change train.batch or "
            f"train.accumulate, or run on a divisor of {batch * together} devices"
        )
    if together == 1:
        return Mesh(np.array(found).reshape(-1, sharers), ROWS)
    return Mesh(np.array(found).reshape(-1, sharers, together), (*ROWS, TENSOR))


def _sizes(execution: ExecutionSpec, devices: Sequence[jax.Device]) -> tuple[int, int]:
    """Return how many devices share one copy of the state, and of these how many one network."""
    if execution.mesh is None:
        return (1 if execution.layout == "replicated" else devices_a_host(devices)), 1
    asked = execution.mesh
    together = asked.tensor or 1
    count = asked.fsdp * together
    if len(devices) % count or (asked.data and asked.data * count != len(devices)):
        shown = ", ".join(f"{name}: {size}" for name, size in asked.model_dump(exclude_none=True).items())
        each = devices_a_host(devices)
        wanted = f"an fsdp that divides them, for example {each}" if together == 1 else (
            f"an fsdp and a tensor whose product divides them, for example {each}")  # fmt: skip
        raise LayoutError(
            f"execution.mesh {{{shown}}} does not divide {len(devices)} devices; leave data out and take {wanted}, "
            "those of a host"
        )
    return asked.fsdp, together


def devices_a_host(devices: Sequence[jax.Device]) -> int:
    """Return how many devices each host holds; 1 where hosts differ."""
    counts = set(Counter(device.process_index for device in devices).values())
    return counts.pop() if len(counts) == 1 else 1


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of stacked batches (K, B, ...): B is split over copies and their devices."""
    return NamedSharding(mesh, PartitionSpec(None, ROWS))


def rows_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of one batch (B, ...), or of its tokens: B is split as batches are."""
    return NamedSharding(mesh, PartitionSpec(ROWS))


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

    def one(path: Sequence[Any], shape: jax.ShapeDtypeStruct) -> NamedSharding:
        if whole:
            return NamedSharding(mesh, PartitionSpec())
        fixed = _divided(mesh, path, len(shape.shape))
        return NamedSharding(mesh, _split(mesh, shape.shape, fixed, one_copy))

    return jax.tree_util.tree_map_with_path(one, shapes)


def tensor_axis(mesh: Mesh) -> TensorAxis | None:
    """Return the axis that the network is divided over, None where no spec asked for one."""
    return TensorAxis(mesh, TENSOR) if TENSOR in mesh.axis_names else None


def _divided(mesh: Mesh | AbstractMesh, path: Sequence[Any], axes: int) -> int | None:
    """Return the axis of a block's array that lies over `tensor`, as its products want it."""
    names = parameter_names(path)
    if TENSOR not in mesh.axis_names or "blocks" not in names or names[-2] in FUSED:
        return None
    axis = divided_axis(*names[-2:])
    return None if axis is None else axes + axis


def _split(mesh: Mesh | AbstractMesh, shape: tuple[int, ...], fixed: int | None, one_copy: bool) -> PartitionSpec:
    """Return the first way to split that divides: along the longest axis, else along two, else by one mesh axis."""
    sharers = tuple(name for name in mesh.axis_names[1:] if fixed is None or name != TENSOR)
    longest_first = sorted((axis for axis in range(1, len(shape)) if axis != fixed), key=lambda axis: -shape[axis])
    given: dict[int, tuple[str, ...]] = {} if fixed is None else {fixed: (TENSOR,)}
    for split in ({**given, **way} for way in _ways(longest_first, sharers, one_copy)):
        parts = {axis: int(np.prod([mesh.shape[name] for name in names])) for axis, names in split.items()}
        if all(shape[axis] % count == 0 for axis, count in parts.items()):
            return PartitionSpec(*(split.get(axis) for axis in range(max(split) + 1)))
    return PartitionSpec(*(given.get(axis) for axis in range(max(given, default=-1) + 1)))


def _ways(axes: Sequence[int], sharers: tuple[str, ...], one_copy: bool) -> Iterator[Mapping[int, tuple[str, ...]]]:
    """Yield ways to split an array, as mesh axes by array axis, the finest first."""
    if one_copy:
        yield from ({axis: ROWS} for axis in axes)
        yield from ({a: (FSDP,), b: (DATA,)} for a, b in itertools.permutations(axes, 2))
    yield from ({axis: sharers} for axis in axes)
    if one_copy:
        yield from ({axis: (DATA,)} for axis in axes)


def put_batch(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """Return the global array, of which this host's devices hold their parts."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
