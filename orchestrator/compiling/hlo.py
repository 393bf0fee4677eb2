"""The text of a compiled program as records: computations, their instructions, shapes with their place in memory.

Reads what XLA prints of a scheduled TPU module. What the instructions cost is `costs`; nothing here knows a TPU.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

ELEMENT_BITS = {"pred": 8, "bf16": 16, "token": 0, "opaque": 0, "s4": 8, "u4": 8}
"""Bits of one element where its name does not end in them; TPUs keep four-bit integers in a byte each."""

FAST_MEMORY = "S(1)"
"""How a layout says that an array lies on the chip and not in HBM."""

_ARRAY = re.compile(r"([a-z]\w*)\[([\d,]*)\](?:\{([^}]*)\})?")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_NAME = re.compile(r"%([\w.\-]+)")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


class UnreadableProgramError(ValueError):
    """The compiler's text has a form that is not known here, so its figures would be guesses."""


@dataclass(frozen=True)
class Array:
    """One array's type: element type, logical shape, and its layout as printed."""

    element: str
    shape: tuple[int, ...]
    layout: str = ""

    @property
    def in_hbm(self) -> bool:
        return FAST_MEMORY not in self.layout

    @property
    def bytes(self) -> int:
        """Bytes it takes in memory, its minor dimensions padded to the layout's tile."""
        return math.prod(self._padded()) * self._bits // 8

    @property
    def logical_bytes(self) -> int:
        """Bytes of its elements alone."""
        return math.prod(self.shape) * self._bits // 8

    @property
    def _bits(self) -> int:
        known = ELEMENT_BITS.get(self.element)
        return int(re.sub(r"\D+", "", self.element.split("e")[0]) or 0) if known is None else known

    @property
    def hbm_bytes(self) -> int:
        return self.bytes if self.in_hbm else 0

    def _padded(self) -> list[int]:
        order, _, tiles = self.layout.partition(":")
        tile = re.match(r"T\(([\d,]+)\)", tiles)
        sizes = [self.shape[int(axis)] for axis in reversed(order.split(",")) if axis] if order else list(self.shape)
        if tile is None:
            return sizes
        edges = [int(edge) for edge in tile[1].split(",")]
        for place, edge in enumerate(reversed(edges), 1):
            if place <= len(sizes) and len(edges) > 1:
                sizes[-place] = -(-sizes[-place] // edge) * edge
        return sizes


@dataclass(frozen=True)
class Instruction:
    """One line: result, operation, the names it reads, and everything after them."""

    name: str
    arrays: tuple[Array, ...]
    opcode: str
    operands: tuple[str, ...]
    literal: str
    attributes: str
    is_root: bool

    @property
    def hbm_bytes(self) -> int:
        return sum(array.hbm_bytes for array in self.arrays)

    @cached_property
    def called(self) -> tuple[str, ...]:
        """Names of the computations it runs."""
        branches = _BRANCHES.search(self.attributes)
        return tuple(_CALLED.findall(self.attributes)) + tuple(_NAME.findall(branches[1]) if branches else ())

    def attribute(self, name: str) -> str:
        """Return the value of a plain attribute such as `dim_labels`; nothing where it has none."""
        found = re.search(rf"\b{name}=([^,\s]+)", self.attributes)
        return found[1] if found else ""

    @cached_property
    def cycles(self) -> int:
        """The compiler's own estimate of one execution, 0 where it gives none."""
        found = re.search(r'"estimated_cycles":"(\d+)"', self.attributes)
        return int(found[1]) if found else 0


@dataclass
class Computation:
    """Instructions in order, by name."""

    name: str
    instructions: dict[str, Instruction] = field(default_factory=dict)

    @cached_property
    def root(self) -> Instruction:
        return next(one for one in self.instructions.values() if one.is_root)

    @cached_property
    def parameters(self) -> dict[int, str]:
        """Parameter number -> name of its instruction."""
        found = (one for one in self.instructions.values() if one.opcode == "parameter")
        return {int(one.literal): one.name for one in found}

    @cached_property
    def users(self) -> dict[str, list[Instruction]]:
        """Name -> the instructions that read it."""
        found: dict[str, list[Instruction]] = {}
        for one in self.instructions.values():
            for name in dict.fromkeys(one.operands):
                found.setdefault(name, []).append(one)
        return found

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.instructions.values())


@dataclass(frozen=True)
class Module:
    """A compiled program: its computations by name, and the name of the one that runs."""

    computations: dict[str, Computation]
    entry: str

    def trips(self, loop: Instruction) -> int:
        """Return how often a while loop's body runs: the bound of its counter, which counts from 0 by ones.

        That is what `lax.scan` compiles to. Raises UnreadableProgramError for any other loop.
        """
        name = re.search(r"condition=%?([\w.\-]+)", loop.attributes)
        bounds = self._bounds(name[1]) if name else []
        if len(bounds) != 1:
            raise UnreadableProgramError(f"loop {loop.name} of the compiled program has no plain bound: {bounds}")
        return bounds[0]

    def _bounds(self, name: str) -> list[int]:
        found = []
        for one in self.computations[name]:
            if one.opcode == "constant" and one.literal.isdecimal():
                found.append(int(one.literal))
            for inner in one.called:
                found += self._bounds(inner)
        return found


def read_module(text: str) -> Module:
    """Return the program whose text the compiler printed. Raises UnreadableProgramError where it has no entry."""
    computations: dict[str, Computation] = {}
    current, entry = None, ""
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            current = computations.setdefault(head[2], Computation(head[2]))
            entry = head[2] if head[1] else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and " = " in line:
            one = _instruction(line)
            current.instructions[one.name] = one
    if not entry:
        raise UnreadableProgramError("the compiled program has no entry computation")
    return Module(computations, entry)


def _instruction(line: str) -> Instruction:
    left, _, rest = line.strip().partition(" = ")
    is_root = left.startswith("ROOT ")
    cut = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    shape, rest = rest[:cut], rest[cut:].lstrip()
    opens = rest.index("(")
    closes = _closing(rest, opens)
    inside = rest[opens + 1 : closes]
    arrays = tuple(
        Array(element, tuple(int(size) for size in sizes.split(",") if size), layout or "")
        for element, sizes, layout in _ARRAY.findall(re.sub(r"/\*.*?\*/", "", shape))
    )
    name = left.removeprefix("ROOT ").lstrip("%")
    return Instruction(
        name, arrays, rest[:opens], tuple(_NAME.findall(inside)), inside, rest[closes + 1 :], is_root
    )  # fmt: skip


def _closing(text: str, start: int) -> int:
    """Return where the bracket that opens at `start` closes."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise UnreadableProgramError(f"a bracket does not close in: {text[:80]}")
