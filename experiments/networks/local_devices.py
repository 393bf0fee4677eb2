"""This process's devices for feature networks and decoders: weights on each, batches spread over all.

Nothing here speaks to other processes; they compute features of images of their own, and statistics are merged after.
Inside of `compiled_for` the devices are others, which need not be here: programs are lowered for them and not run.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "local"
ON_CPU, ON_ACCELERATOR = 8, 32
"""Images at a time on one device. On CPUs activations of more leave the cache."""

DECODED_ON_CPU, DECODED_ON_ACCELERATOR = 1, 8
"""Latents decoded at a time on one device. On accelerators more would leave no memory beside a training state: 0.3 GB a
layer of 8. On CPUs one by one is a fifth faster than 8 at a time, which leave the cache."""

_elsewhere: ContextVar[tuple[jax.Device, ...]] = ContextVar("elsewhere", default=())


@contextmanager
def compiled_for(devices: Sequence[jax.Device]) -> Iterator[None]:
    """Let everything here speak of these devices in place of this process's own."""
    token = _elsewhere.set(tuple(devices))
    try:
        yield
    finally:
        _elsewhere.reset(token)


def platform() -> str:
    """Return what programs are made for: cpu, gpu or tpu."""
    elsewhere = _elsewhere.get()
    return elsewhere[0].platform if elsewhere else jax.default_backend()


def batch_size() -> int:
    """How many images a compiled feature network should take at a time on this process's devices."""
    return (ON_CPU if platform() == "cpu" else ON_ACCELERATOR) * len(_devices())


def decoded_at_once() -> int:
    """How many latents a compiled decoder should take at a time on this process's devices."""
    return (DECODED_ON_CPU if platform() == "cpu" else DECODED_ON_ACCELERATOR) * len(_devices())


def spread(images: np.ndarray) -> jax.Array:
    """The images (B, ...) on this process's devices, each holding a part where B divides."""
    return jax.device_put(images, rows_sharding(len(images)))


def parameter(array: np.ndarray) -> jax.Array:
    """The array as float32 in memory of its own; jnp.asarray compiles a program for each shape from JAX 0.10 on."""
    return jax.device_put(np.array(array, np.float32))


def copied(arrays: Any) -> Any:
    """The arrays of a tree on each of this process's devices."""
    return jax.device_put(arrays, whole_sharding())


def rows_sharding(rows: int) -> NamedSharding:
    """Return how `spread` lays that many rows."""
    divides = rows % len(_devices()) == 0
    return NamedSharding(_mesh(_devices()), PartitionSpec(AXIS) if divides else PartitionSpec())


def whole_sharding() -> NamedSharding:
    """Return how `copied` lays arrays."""
    return NamedSharding(_mesh(_devices()), PartitionSpec())


def as_shapes(arrays: Any, sharding: NamedSharding) -> Any:
    """The arrays of a tree as shapes that are said to lie so, for programs that are lowered and not run."""
    return jax.tree.map(lambda one: jax.ShapeDtypeStruct(one.shape, one.dtype, sharding=sharding), arrays)


def _devices() -> tuple[jax.Device, ...]:
    return _elsewhere.get() or tuple(jax.local_devices())


@cache
def _mesh(devices: tuple[jax.Device, ...]) -> Mesh:
    return Mesh(np.array(devices), (AXIS,))
