"""Bytes that one instruction of a compiled program reads from HBM and writes to it.

Arrays on the chip are free. A slice that is taken or put inside of a fusion counts as the slice, not as the whole
array: a scan over layers would else seem to read every layer's weights in each of its steps.
"""

from dit_grid.orchestrator.compiling.hlo import Computation, Instruction, Module

FREE = {
    "parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "partition-id", "replica-id",
    "while", "opt-barrier", "add-dependency", "domain",
}  # fmt: skip
SLICES = ("dynamic-slice", "slice", "gather")


def hbm_traffic(module: Module, computation: Computation, one: Instruction) -> int:
    """Return the bytes of one execution; what it calls other than by fusion is not counted."""
    if one.opcode in FREE or one.opcode.endswith("-done"):
        return 0
    if one.opcode in SLICES:
        return _read(computation, one.operands[0], one.hbm_bytes) + one.hbm_bytes
    if one.opcode == "dynamic-update-slice":
        update = computation.instructions[one.operands[1]]
        return update.hbm_bytes + min(update.arrays[0].bytes, one.hbm_bytes)
    if one.opcode == "fusion":
        inner = module.computations[one.called[0]]
        read = sum(
            _read(computation, name, _used(module, inner, place)) for place, name in enumerate(one.operands)
        )  # fmt: skip
        return read + _written(module, inner, inner.root, one)
    written = one.arrays[0].hbm_bytes if one.opcode.endswith("-start") else one.hbm_bytes
    return written + sum(computation.instructions[name].hbm_bytes for name in one.operands)


def _read(computation: Computation, name: str, most: int) -> int:
    """Return the bytes read of an operand of which at most so many are used."""
    return min(computation.instructions[name].hbm_bytes, most)


def _used(module: Module, fused: Computation, place: int) -> int:
    """Return how many bytes of its parameter number `place` a fused computation uses."""
    name = fused.parameters.get(place)
    return 0 if name is None else _used_by_users(module, fused, name)


def _used_by_users(module: Module, fused: Computation, name: str) -> int:
    whole, total = fused.instructions[name].arrays[0].bytes, 0
    for user in fused.users.get(name, []):
        if user.opcode in SLICES and user.operands[0] == name:
            total += user.arrays[0].bytes
        elif user.opcode == "dynamic-update-slice" and user.operands[0] == name:
            continue  # updated in place
        elif user.opcode == "bitcast":
            total += _used_by_users(module, fused, user.name)
        elif user.opcode == "fusion":
            inner = module.computations[user.called[0]]
            total += sum(_used(module, inner, place) for place, used in enumerate(user.operands) if used == name)
        else:
            return whole
    return min(total, whole)


def _written(module: Module, fused: Computation, root: Instruction, shown: Instruction) -> int:
    """Return the bytes that a fused computation writes; `shown` says which of its results lie in HBM."""
    parts = [fused.instructions[name] for name in root.operands] if root.opcode == "tuple" else [root]
    if len(parts) != len(shown.arrays):
        return shown.hbm_bytes
    return sum(_changed(module, fused, part, array.bytes) for part, array in zip(parts, shown.arrays, strict=True)
               if array.in_hbm)  # fmt: skip


def _changed(module: Module, fused: Computation, part: Instruction, whole: int) -> int:
    while part.opcode == "bitcast" and part.operands:
        part = fused.instructions[part.operands[0]]
    if part.opcode == "dynamic-update-slice":
        return min(fused.instructions[part.operands[1]].arrays[0].bytes, whole)
    if part.opcode == "fusion" and len(part.arrays) == 1:
        inner = module.computations[part.called[0]]
        return _changed(module, inner, inner.root, whole)
    return whole
