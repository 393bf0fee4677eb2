"""Which partitions talk to each other in a collective, in all the ways that XLA writes groups down."""

import re

import numpy as np

from dit_grid.orchestrator.compiling.hlo import Instruction

_IOTA = re.compile(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_MESH = re.compile(r"replica_groups=mesh\[([^\]]*)\] ?\{([^}]*)\}")
_LISTED = re.compile(r"(?:replica_groups|source_target_pairs)=\{(\{[\d,{}\s]*\})\}")


def groups_of(one: Instruction, partitions: int) -> list[list[int]]:
    """Return the groups of partition numbers; one group of all where none is written."""
    text = one.attributes
    if iota := _IOTA.search(text):
        shape, dimensions, order = (_numbers(part) for part in iota.groups())
        numbers = np.arange(int(np.prod(dimensions))).reshape(dimensions)
        return (numbers.transpose(order) if order else numbers).reshape(shape).tolist()
    if mesh := _MESH.search(text):
        return _of_mesh(mesh[1], mesh[2])
    if listed := _LISTED.search(text):
        return [_numbers(group) for group in re.findall(r"\{([\d,\s]*)\}", listed[1])]
    return [list(range(partitions))]


def _of_mesh(axes: str, named: str) -> list[list[int]]:
    sizes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", axes)}
    inside = re.findall(r"'([^']+)'", named)
    places = [list(sizes).index(name) for name in inside]
    numbers = np.arange(int(np.prod(list(sizes.values())))).reshape(list(sizes.values()))
    last = range(-len(places), 0)
    return np.moveaxis(numbers, places, last).reshape(-1, int(np.prod([sizes[name] for name in inside]))).tolist()


def _numbers(text: str | None) -> list[int]:
    return [int(part) for part in (text or "").split(",") if part.strip()]
