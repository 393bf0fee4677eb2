"""The FID network's weights out of the frozen TensorFlow graph that ADM's suite runs, without TensorFlow.

Only constants are read: a graph definition holds no code. Names and layouts become those of the PyTorch file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

FLOAT32 = 1
"""TensorFlow's number for the type."""

NORM_PARTS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}

BRANCHES_5 = {
    "branch1x1": "conv",
    "branch5x5_1": "tower/conv",
    "branch5x5_2": "tower/conv_1",
    "branch3x3dbl_1": "tower_1/conv",
    "branch3x3dbl_2": "tower_1/conv_1",
    "branch3x3dbl_3": "tower_1/conv_2",
    "branch_pool": "tower_2/conv",
}
BRANCHES_6A = {
    "branch3x3": "conv",
    "branch3x3dbl_1": "tower/conv",
    "branch3x3dbl_2": "tower/conv_1",
    "branch3x3dbl_3": "tower/conv_2",
}
BRANCHES_6 = {
    "branch1x1": "conv",
    "branch7x7_1": "tower/conv",
    "branch7x7_2": "tower/conv_1",
    "branch7x7_3": "tower/conv_2",
    "branch7x7dbl_1": "tower_1/conv",
    "branch7x7dbl_2": "tower_1/conv_1",
    "branch7x7dbl_3": "tower_1/conv_2",
    "branch7x7dbl_4": "tower_1/conv_3",
    "branch7x7dbl_5": "tower_1/conv_4",
    "branch_pool": "tower_2/conv",
}
BRANCHES_7A = {
    "branch3x3_1": "tower/conv",
    "branch3x3_2": "tower/conv_1",
    "branch7x7x3_1": "tower_1/conv",
    "branch7x7x3_2": "tower_1/conv_1",
    "branch7x7x3_3": "tower_1/conv_2",
    "branch7x7x3_4": "tower_1/conv_3",
}
BRANCHES_7 = {
    "branch1x1": "conv",
    "branch3x3_1": "tower/conv",
    "branch3x3_2a": "tower/mixed/conv",
    "branch3x3_2b": "tower/mixed/conv_1",
    "branch3x3dbl_1": "tower_1/conv",
    "branch3x3dbl_2": "tower_1/conv_1",
    "branch3x3dbl_3a": "tower_1/mixed/conv",
    "branch3x3dbl_3b": "tower_1/mixed/conv_1",
    "branch_pool": "tower_2/conv",
}
STEM = {
    "Conv2d_1a_3x3": "conv",
    "Conv2d_2a_3x3": "conv_1",
    "Conv2d_2b_3x3": "conv_2",
    "Conv2d_3b_1x1": "conv_3",
    "Conv2d_4a_3x3": "conv_4",
}
STAGES = [
    *((f"Mixed_5{letter}", BRANCHES_5) for letter in "bcd"),
    ("Mixed_6a", BRANCHES_6A),
    *((f"Mixed_6{letter}", BRANCHES_6) for letter in "bcde"),
    ("Mixed_7a", BRANCHES_7A),
    *((f"Mixed_7{letter}", BRANCHES_7) for letter in "bc"),
]
"""PyTorch's stages in the order that TensorFlow numbers them: mixed, mixed_1 … mixed_10."""


class GraphError(ValueError):
    """A file that is no frozen graph, or one without the FID network's constants."""


def read_graph(path: Path) -> dict[str, np.ndarray]:
    """The network's tensors in a `.pb` file, by the names and layouts of the PyTorch file. Raises GraphError."""
    try:
        constants = dict(_constants(memoryview(path.read_bytes())))
    except (IndexError, ValueError, OverflowError) as error:
        raise GraphError(f"{path}: not a TensorFlow graph definition, or damaged ({error})") from error
    try:
        return torch_tensors(constants)
    except KeyError as error:
        raise GraphError(f"{path}: no constant {error}: not the FID network, classify_image_graph_def.pb") from error
    except ValueError as error:
        raise GraphError(f"{path}: a constant of another rank ({error}): damaged") from error


def torch_tensors(constants: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The PyTorch file's tensors of the graph's constants; raises KeyError for a missing one."""
    tensors = {"fc.weight": constants["softmax/weights"].T, "fc.bias": constants["softmax/biases"]}
    for name, scope in scopes().items():
        tensors[f"{name}.conv.weight"] = constants[f"{scope}/conv2d_params"].transpose(3, 2, 0, 1)
        for part, theirs in NORM_PARTS.items():
            tensors[f"{name}.bn.{part}"] = constants[f"{scope}/batchnorm/{theirs}"]
    return tensors


def scopes() -> dict[str, str]:
    """TensorFlow's scope of every convolution, by PyTorch's name."""
    found = dict(STEM)
    for number, (stage, branches) in enumerate(STAGES):
        mixed = f"mixed_{number}" if number else "mixed"
        found |= {f"{stage}.{branch}": f"{mixed}/{scope}" for branch, scope in branches.items()}
    return found


def _constants(graph: memoryview) -> Iterator[tuple[str, np.ndarray]]:
    """Name and value of every float32 constant. Numbers are those of graph.proto, node_def.proto and tensor.proto."""
    for node in _parts(graph, 1):
        if _parts(node, 2) != [b"Const"]:
            continue
        name = str(_parts(node, 1)[0], "utf-8")
        for attribute in _parts(node, 5):
            if _parts(attribute, 1) == [b"value"]:
                tensor = _parts(_parts(attribute, 2)[0], 8)[0]
                if _varint(_parts(tensor, 1)[0], 0)[0] == FLOAT32:
                    yield name, _value(tensor)


def _value(tensor: memoryview) -> np.ndarray:
    sizes = [_parts(size, 1) for shape in _parts(tensor, 2) for size in _parts(shape, 2)]
    shape = [_varint(size[0], 0)[0] if size else 0 for size in sizes]
    flat = np.frombuffer(b"".join(_parts(tensor, 4) or _parts(tensor, 5)), "<f4")
    # One number stands for all; a view takes no memory whatever shape the file claims.
    return np.broadcast_to(flat, shape) if flat.size == 1 else flat.reshape(shape)


def _parts(message: memoryview, number: int) -> list[memoryview]:
    """The raw bytes of every field of that number: content, or an integer as it is encoded."""
    found, at = [], 0
    while at < len(message):
        key, at = _varint(message, at)
        start, end = _extent(message, key & 7, at)
        if end > len(message):
            raise ValueError("a field reaches beyond the end")
        if key >> 3 == number:
            found.append(message[start:end])
        at = end
    return found


def _extent(message: memoryview, wire: int, at: int) -> tuple[int, int]:
    """Where the content of a field of that wire type begins and ends."""
    if wire == 0:
        return at, _varint(message, at)[1]
    if wire == 2:
        length, start = _varint(message, at)
        return start, start + length
    if wire in (1, 5):
        return at, at + (8 if wire == 1 else 4)
    raise ValueError(f"wire type {wire}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, and where it ends."""
    value = shift = 0
    while shift < 70:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("an integer of more than ten bytes")
