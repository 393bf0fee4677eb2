"""Which TPU slices there are: the sizes that each generation is sold in, and how its names count.

Sizes are those of Google Cloud's accelerator types; for the three-dimensional generations they follow from the
topologies that Ray 2.60 accepts (`VALID_TPU_TOPOLOGY`). What a slice costs or reaches is not here.
"""

import itertools
import math
import re

from dit_grid.experiments.spec.source import shown
from dit_grid.experiments.spec.validate import nearest

CORES_PER_CHIP = {"v2": 2, "v3": 2, "v4": 2, "v5p": 2, "tpu7x": 2, "v7x": 2}
"""TPU generations whose slice names count cores; the others (v5e, v6e) count chips (Google Cloud, TPU versions).
`v7x` is what Ray 2.60 calls the cloud's tpu7x."""

_FLAT = (1, 4, 8, 16, 32, 64, 128, 256)


def _cubes(x: int, y: int, z: int) -> tuple[int, ...]:
    """Cores of every cuboid of 4 x 4 x 4 chips up to the largest, and of the small ones below it."""
    edges = itertools.product(range(4, x + 1, 4), range(4, y + 1, 4), range(4, z + 1, 4))
    return tuple(sorted({8, 16, 32, 64, *(2 * a * b * c for a, b, c in edges)}))


_LARGEST = {"v4": (12, 12, 16), "v5p": (16, 16, 24), "tpu7x": (8, 16, 16), "v7x": (8, 16, 16)}
"""The largest slice of each three-dimensional generation, in chips along each axis."""

SIZES = {
    "v2": (8, 32, 128, 256, 512),
    "v3": (8, 32, 64, 128, 256, 512, 1024, 2048),
    "v4": _cubes(*_LARGEST["v4"]),
    "v5p": _cubes(*_LARGEST["v5p"]),
    "v5e": _FLAT,
    "v5litepod": _FLAT,
    "v6e": _FLAT,
    "tpu7x": (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
    "v7x": (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
}


def slice_mistake(name: str) -> str:
    """Return what is wrong with the name of a slice type, in one line; nothing if there is such a type."""
    parts = re.fullmatch(r"([a-z0-9]{1,20}?)-([0-9]{1,6})", name)
    if parts is None:
        return f"got {shown(name)}; a type of slice is a generation and a size, for example v3-32"
    generation, size = parts[1], int(parts[2])
    if generation not in SIZES:
        return f"got {name!r}; no generation {generation!r}{nearest(generation, SIZES)}; known: {', '.join(SIZES)}"
    sizes = SIZES[generation]
    if size in sizes:
        return ""
    closest = sorted(sizes, key=lambda one: abs(one - size))[:8]
    there = ", ".join(f"{generation}-{one}" for one in sorted(closest))
    return f"got {name!r}, which is not sold; there {'are' if len(sizes) <= 8 else 'are, for example,'} {there}"


def chips_and_cores(name: str) -> tuple[int, int]:
    """Return (chips, cores as the cloud counts them) of a slice: v3-256 is 128 chips with 256 cores."""
    generation, number = name.split("-")
    per_chip = CORES_PER_CHIP.get(generation, 1)
    return max(int(number) // per_chip, 1), int(number)


def slice_hosts(name: str) -> int:
    """Return how many hosts a slice has: four chips each, but eight on the one host of the small flat ones."""
    chips = chips_and_cores(name)[0]
    flat = SIZES.get(name.split("-")[0]) is _FLAT
    return 1 if flat and chips <= 8 else max(chips // 4, 1)


def slice_shape(name: str) -> tuple[int, ...]:
    """Return how many chips a slice has along each axis of its mesh, the fewest first, as nearly even as it is sold."""
    generation, chips = name.split("-")[0], chips_and_cores(name)[0]
    if generation not in _LARGEST:
        short = 2 ** ((chips.bit_length() - 1) // 2)
        return short, chips // short
    small = {4: (2, 2, 1), 8: (2, 2, 2), 16: (2, 2, 4), 32: (2, 4, 4)}
    if chips in small:
        return small[chips]
    edges = [range(4, most + 1, 4) for most in _LARGEST[generation]]
    fitting = [
        shape for shape in itertools.product(*edges) if math.prod(shape) == chips and list(shape) == sorted(shape)
    ]
    return min(fitting, key=sum)
