"""How a run's arrays lie over devices: batches split, parameters copied to each or split as well (FSDP).

Named shardings on one mesh axis; the compiler adds the communication. Any number of devices and hosts gives the same
losses up to the rounding of sums in another order.
"""

from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "data"

Layout = Literal["replicated", "fsdp"]


def device_mesh(batch: int) -> Mesh:
    """Return the mesh of all devices of all hosts. Raises ValueError where a batch does not divide among them."""
    devices = jax.devices()
    if batch % len(devices):
        raise ValueError(
            f"a batch of {batch} images does not divide among {len(devices)} devices; change train.batch or "
            f"train.accumulate, or run on a divisor of {batch} devices"
        )
    return Mesh(np.array(devices), (AXIS,))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of stacked batches (K, B, ...): B is split."""
    return NamedSharding(mesh, PartitionSpec(None, AXIS))


def own_rows(mesh: Mesh, batch: int) -> slice:
    """Return which rows of a global batch this process's devices hold, and so has to read; alone, all of them."""
    if jax.process_count() == 1:
        return slice(None)
    held = batch_sharding(mesh).addressable_devices_indices_map((1, batch))
    bounds = [index[1].indices(batch)[:2] for index in held.values() if index is not None]
    return slice(min(first for first, _ in bounds), max(end for _, end in bounds))


def state_sharding(mesh: Mesh, shapes: Any, layout: Layout) -> Any:
    """Return a sharding for each array of a training state, given as shapes.

    "fsdp" splits parameters, their average and the optimizer's moments along the longest axis that divides; the leading
    axis, by which layers are scanned, stays whole. An array with no such axis is copied to every device.
    """
    devices = mesh.devices.size

    def one(shape: jax.ShapeDtypeStruct) -> NamedSharding:
        split = [axis for axis in range(1, len(shape.shape)) if shape.shape[axis] % devices == 0]
        if layout == "replicated" or not split:
            return NamedSharding(mesh, PartitionSpec())
        longest = max(split, key=lambda axis: shape.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*(AXIS if axis == longest else None for axis in range(longest + 1))))

    return jax.tree.map(one, shapes)


def put_batch(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """Return the global array, of which this host's devices hold their parts."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
