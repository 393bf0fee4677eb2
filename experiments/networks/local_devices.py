"""This process's devices for feature networks and decoders: weights on each, batches spread over all.

Nothing here speaks to other processes; they compute features of images of their own, and statistics are merged after.
"""

from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "local"
ON_CPU, ON_ACCELERATOR = 8, 32
"""Images at a time on one device. On CPUs activations of more leave the cache."""


def batch_size() -> int:
    """How many images a compiled feature network or decoder should take at a time on this process's devices."""
    each = ON_CPU if jax.default_backend() == "cpu" else ON_ACCELERATOR
    return each * jax.local_device_count()


def spread(images: np.ndarray) -> jax.Array:
    """The images (B, ...) on this process's devices, each holding a part where B divides."""
    rows = PartitionSpec(AXIS) if len(images) % jax.local_device_count() == 0 else PartitionSpec()
    return jax.device_put(images, NamedSharding(_mesh(), rows))


def copied(arrays: Any) -> Any:
    """The arrays of a tree on each of this process's devices."""
    return jax.device_put(arrays, NamedSharding(_mesh(), PartitionSpec()))


@cache
def _mesh() -> Mesh:
    return Mesh(np.array(jax.local_devices()), (AXIS,))
