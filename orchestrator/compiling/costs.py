"""What one execution of a compiled program costs a core: cycles, FLOPs, HBM traffic, bytes sent, loops counted in full.

XLA's own cost analysis counts a loop's body once; here each instruction counts as often as it runs. Which collective
crosses hosts is told by the processes that the partitions belong to.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from dit_grid.orchestrator.compiling.arithmetic import matrix_flops
from dit_grid.orchestrator.compiling.groups import groups_of
from dit_grid.orchestrator.compiling.hlo import Computation, Instruction, Module
from dit_grid.orchestrator.compiling.traffic import hbm_traffic

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

_SENT = {
    "all-reduce": lambda n: 2 * (n - 1) / n, "all-gather": lambda n: (n - 1) / n,
    "reduce-scatter": lambda n: (n - 1) / n, "all-to-all": lambda n: (n - 1) / n, "collective-permute": lambda n: 1.0,
}  # fmt: skip
"""What a device sends for each byte of the whole array, among n devices in a ring (Thakur et al. 2005)."""


@dataclass
class Costs:
    """Of one core and one call. `collective_bytes` are sizes of the whole arrays, by kind; `sent_bytes` what the core
    sends for them in rings; `between_hosts_bytes` those of collectives whose groups span hosts."""

    cycles: int = 0
    flops: int = 0
    traffic_bytes: int = 0
    sent_bytes: float = 0.0
    between_hosts_bytes: int = 0
    collective_bytes: dict[str, int] = field(default_factory=dict)


def costs_of(module: Module, hosts: Sequence[int]) -> Costs:
    """Return what the program costs; `hosts[i]` is the host of partition i."""
    total = Costs()
    _Walk(module, hosts, total).computation(module.entry, 1)
    return total


def loop_costs(module: Module, hosts: Sequence[int], trips: Collection[int]) -> Costs | None:
    """Return what one trip costs of the program's one outermost loop that makes so many; None where there is none."""
    entry = module.computations[module.entry]
    loops = [one for one in entry if one.opcode == "while" and module.trips(one) in trips]
    if len(loops) != 1:
        return None
    total = Costs()
    _Walk(module, hosts, total).computation(_attribute_name(loops[0], "body"), 1)
    return total


class _Walk:
    """Goes through every computation that runs, with how often it does."""

    def __init__(self, module: Module, hosts: Sequence[int], total: Costs) -> None:
        self.module, self.hosts, self.total = module, hosts, total

    def computation(self, name: str, times: int) -> None:
        computation = self.module.computations[name]
        for one in computation:
            self.total.cycles += times * one.cycles
            self._inside(computation, one, times)
            if one.opcode == "while":
                self.computation(_attribute_name(one, "body"), times * self.module.trips(one))
            elif one.opcode in ("call", "conditional", "async-start"):
                for inner in one.called:
                    self.computation(inner, times)
            else:
                self.total.traffic_bytes += times * hbm_traffic(self.module, computation, one)

    def _inside(self, computation: Computation, one: Instruction, times: int) -> None:
        """Count arithmetic and communication of the instruction, and of what is fused into it."""
        kind = one.opcode.removesuffix("-start")
        if kind in KINDS:
            self._collective(computation, one, kind, times)
        elif one.opcode in ("dot", "convolution"):
            self.total.flops += times * matrix_flops(computation, one)
        elif one.opcode == "fusion":
            for name in one.called:
                inner = self.module.computations[name]
                for each in inner:
                    self._inside(inner, each, times)

    def _collective(self, computation: Computation, one: Instruction, kind: str, times: int) -> None:
        if computation.name.startswith("all-reduce-scatter"):  # how TPU programs write a reduce-scatter
            kind = "reduce-scatter"
        operands = sum(a.logical_bytes for name in one.operands for a in computation.instructions[name].arrays)
        groups = groups_of(one, len(self.hosts))
        n = max(map(len, groups), default=1)
        size = operands * n if kind == "all-gather" else operands
        if n < 2:
            return
        self.total.collective_bytes[kind] = self.total.collective_bytes.get(kind, 0) + times * size
        self.total.sent_bytes += times * size * _SENT[kind](n)
        if any(len({self.hosts[member] for member in group}) > 1 for group in groups):
            self.total.between_hosts_bytes += times * size


def _attribute_name(one: Instruction, attribute: str) -> str:
    return one.attribute(attribute).lstrip("%")
