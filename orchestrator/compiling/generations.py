"""The TPU generations: how the compiler names them, what a core may use, and their peaks, each with where it is from.

The compiler is the judge of the first half (`pytest -m tpu`): devices, hosts and granted memory are what it says.
"""

import math
from typing import NamedTuple

from dit_grid.experiments.spec.slices import chips_and_cores, slice_hosts, slice_shape
from dit_grid.model.accounting import DEVICE_PEAKS

GIB = 1 << 30
"""What the compiler's own messages call G."""


class Generation(NamedTuple):
    """One generation. Peaks are of a chip: of bfloat16 matrix products, of HBM, and of all links out of it one way.

    `clock_hz` turns the compiler's cycles into seconds, None where no clock is published.
    """

    compiler_name: str
    devices_a_chip: int
    granted_gib: float
    clock_hz: float | None
    flops_per_s: float
    hbm_bytes_per_s: float
    link_bytes_per_s: float
    sources: tuple[str, ...]
    config: str = "default"

    @property
    def granted_bytes(self) -> int:
        """HBM that a program may use on one device; the rest is the system's."""
        return int(self.granted_gib * GIB)


def _peak(kind: str) -> float:
    return DEVICE_PEAKS[kind].flops_per_s


_GOOGLE = "Google Cloud, TPU system architecture, "
_CACM = "Jouppi et al. 2020, A domain-specific supercomputer for training deep neural networks"
_ISCA = "Jouppi et al. 2023, TPU v4, table 4"

GENERATIONS = {
    "v2": Generation("v2", 2, 7.48, 700e6, _peak("TPU v2"), 700e9, 4 * 62e9,
                     (_GOOGLE + "v2: HBM", _CACM + ": clock, 4 links of 496 Gbit/s")),
    "v3": Generation("v3", 2, 15.48, 940e6, _peak("TPU v3"), 900e9, 4 * 70e9,
                     (_GOOGLE + "v3: HBM", _CACM + ": clock", _ISCA + ": 4 links of 70 GB/s")),
    "v4": Generation("v4", 1, 30.75, 1050e6, _peak("TPU v4"), 1200e9, 6 * 50e9,
                     (_GOOGLE + "v4: HBM", _ISCA + ": clock, 6 links of 50 GB/s"), "megacore"),
    "v5e": Generation("v5e", 1, 15.75, None, _peak("TPU v5 lite"), 819e9, 200e9,
                      (_GOOGLE + "v5e: HBM, 400 GB/s both ways",)),
    "v5p": Generation("v5p", 1, 95.73, None, _peak("TPU v5p"), 2765e9, 600e9,
                      (_GOOGLE + "v5p: HBM, 1,200 GB/s both ways",)),
    "v6e": Generation("v6e", 1, 31.24, None, _peak("TPU v6 lite"), 1638e9, 400e9,
                      (_GOOGLE + "v6e: HBM, 800 GB/s both ways",)),
    "tpu7x": Generation("tpu7x", 2, 94.74, None, _peak("TPU7x"), 7380e9, 600e9,
                        (_GOOGLE + "TPU7x: HBM, 1,200 GB/s both ways",)),
}  # fmt: skip
"""By the name in slice types; `v5litepod` is the cloud's other name for v5e, `v7x` Ray's for tpu7x."""

ALIASES = {"v5litepod": "v5e", "v7x": "tpu7x"}


def generation_of(slice_name: str) -> Generation:
    """Return the generation that a slice type such as `v3-256` belongs to."""
    name = slice_name.split("-")[0]
    return GENERATIONS[ALIASES.get(name, name)]


class Topology(NamedTuple):
    """A slice as the compiler is told of it: `v3:8x16`, with the chips of a host by axis and a chip configuration."""

    name: str
    host: tuple[int, int, int]
    config: str
    devices: int
    hosts: int


def topology_of(slice_name: str) -> Topology:
    """Return the topology of a slice type; four chips are a host's, or all of a small flat slice."""
    generation, shape = generation_of(slice_name), slice_shape(slice_name)
    hosts, chips = slice_hosts(slice_name), chips_and_cores(slice_name)[0]
    host = (*shape, 1) if len(shape) == 2 and hosts == 1 else (2, 2, 1)
    name = f"{generation.compiler_name}:{'x'.join(map(str, shape))}"
    return Topology(name, (host[0], host[1], host[2]), generation.config, chips * generation.devices_a_chip, hosts)


def host_of(slice_name: str) -> Topology:
    """Return the topology of one host of the slice: what runs on a process's own devices is compiled for it alone."""
    whole = topology_of(slice_name)
    kind, _, shape = whole.name.partition(":")
    edges = whole.host[: shape.count("x") + 1]
    devices = math.prod(edges) * generation_of(slice_name).devices_a_chip
    return Topology(f"{kind}:{'x'.join(map(str, edges))}", whole.host, whole.config, devices, 1)
