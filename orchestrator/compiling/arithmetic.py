"""Floating-point operations of the matrix products in a compiled program: dots, and the convolutions TPUs make of them.

Only positions at which the kernel meets the input count, as in XLA's HloCostAnalysis: a product with batch dimensions
is written as a convolution whose window lies mostly in its padding.
"""

import math
import re

from dit_grid.orchestrator.compiling.hlo import Array, Computation, Instruction

_SPATIAL = re.compile(r"\d")


def matrix_flops(computation: Computation, one: Instruction) -> int:
    """Return 2 x multiply-accumulates of a dot or a convolution."""
    left, right = (computation.instructions[name].arrays[0] for name in one.operands[:2])
    if one.opcode == "dot":
        contracted = [int(a) for a in _braced(one, "lhs_contracting_dims").split(",") if a]
        return 2 * math.prod(one.arrays[0].shape) * math.prod(left.shape[axis] for axis in contracted)
    return 2 * _convolution_macs(one, left, right)


def _convolution_macs(one: Instruction, left: Array, right: Array) -> int:
    inputs, _, outputs = re.split(r"_|->", one.attribute("dim_labels"))
    groups, batch_groups = (int(one.attribute(f"{name}_group_count") or 1) for name in ("feature", "batch"))
    features = left.shape[inputs.index("f")] // groups * one.arrays[0].shape[outputs.index("f")]
    macs = features * left.shape[inputs.index("b")] // batch_groups
    for axis in sorted(_SPATIAL.findall(outputs)):
        macs *= _meetings(
            _Window.of(one, int(axis)), left.shape[inputs.index(axis)], one.arrays[0].shape[outputs.index(axis)]
        )
    return macs


class _Window:
    """One spatial dimension of a convolution's window."""

    def __init__(self, size: int, stride: int, before: int, input_dilation: int, kernel_dilation: int) -> None:
        self.size, self.stride, self.before = size, stride, before
        self.input_dilation, self.kernel_dilation = input_dilation, kernel_dilation

    @classmethod
    def of(cls, one: Instruction, axis: int) -> "_Window":
        text = _braced(one, "window")

        def at(name: str, default: str) -> str:
            found = re.search(rf"\b{name}=(\S+)", text)
            return found[1].split("x")[axis] if found else default

        return cls(
            int(at("size", "1")), int(at("stride", "1")), int(at("pad", "0_0").split("_")[0]),
            int(at("lhs_dilate", "1")), int(at("rhs_dilate", "1")),
        )  # fmt: skip


def _meetings(window: _Window, inputs: int, outputs: int) -> int:
    """Return how many pairs of an output and a kernel position meet an element of the input."""
    widened = (inputs - 1) * window.input_dilation + 1
    return sum(
        0 <= place < widened and place % window.input_dilation == 0
        for out in range(outputs)
        for place in (
            out * window.stride - window.before + step * window.kernel_dilation for step in range(window.size)
        )
    )


def _braced(one: Instruction, name: str) -> str:
    found = re.search(rf"\b{name}=\{{([^}}]*)\}}", one.attributes)
    return found[1] if found else ""
