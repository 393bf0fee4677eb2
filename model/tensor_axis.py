"""One network over several devices: attention heads and hidden units divided along one axis of a mesh of devices.

The first product of a pair is divided by its columns and the second by its rows, so that a pair costs one sum over the
devices (Shoeybi et al. 2019, arXiv 1909.08053, section 3). The compiler adds the sums; only where arrays lie is said
here, by the names of parameters.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

COLUMNS = frozenset({"qkv", "q", "kv", "fc1"})
"""Products of a block whose outputs are divided: heads and hidden units.

Not shifts and scales: divided so on a mesh with three axes of two or more, XLA (jax 0.10.2, CPU) gives a gradient of
theirs that is a third off, of a batch that is over the other two.
"""

ROWS = frozenset({"proj", "fc2"})
"""Products of a block whose inputs are divided and whose outputs are summed."""

FUSED = frozenset({"qkv", "kv"})
"""Those whose columns are queries, keys and values of all heads one after the other: a share of heads is no one run
of columns, so it is taken by `TensorAxis.by_heads`."""


def divided_axis(module: str, leaf: str) -> int | None:
    """Return which axis of a block's parameter is divided, counted from its end; None for one that stays whole."""
    if module in COLUMNS:
        return -1
    return -2 if module in ROWS and leaf == "kernel" else None


class TensorAxis(NamedTuple):
    """The axis of a mesh of devices over which a network is divided."""

    mesh: Mesh
    name: str

    def by_heads(self, weights: jax.Array, parts: int, heads: int) -> jax.Array:
        """A fused product's kernel or bias (..., parts * heads * K) as (..., parts, heads, K), heads divided."""
        apart = weights.reshape(*weights.shape[:-1], parts, heads, -1)
        spec = PartitionSpec(*[None] * (apart.ndim - 2), self.name)
        return jax.lax.with_sharding_constraint(apart, NamedSharding(self.mesh, spec))


def parameter_names(path: Sequence[Any]) -> tuple[str, ...]:
    """Return the modules and the leaf that a path of a parameter tree names, for example ("blocks", "fc1", "bias")."""
    names = (str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", "")))) for key in path)
    return tuple(name for name in names if name != "value")
