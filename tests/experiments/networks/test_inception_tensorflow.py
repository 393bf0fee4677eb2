"""Constants of a TensorFlow graph become the PyTorch file's tensors, each convolution in its place."""

import numpy as np
import pytest

from dit_grid.experiments.networks.inception_graph import convolutions
from dit_grid.experiments.networks.inception_tensorflow import GraphError, _constants, read_graph, scopes, torch_tensors
from dit_grid.experiments.networks.inception_weights import tensor_shapes


def varint(value):
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def field(number, content):
    """A protocol-buffer field: an integer, or bytes with their length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def node(name, array, op=b"Const", dtype=1, floats=None):
    shape = b"".join(field(2, field(1, size)) for size in array.shape)
    content = field(4, array.tobytes()) if floats is None else field(5, floats)
    tensor = field(1, dtype) + field(2, shape) + content
    attributes = field(5, field(1, b"dtype") + field(2, field(6, dtype)))
    attributes += field(5, field(1, b"value") + field(2, field(8, tensor)))
    return field(1, field(1, name.encode()) + field(2, op) + attributes)


def test_float_constants_are_found_among_everything_else():
    kernel = np.random.default_rng(0).standard_normal((1, 3, 2, 300)).astype(np.float32)
    graph = node("conv/conv2d_params", kernel) + node("labels", np.arange(3, dtype=np.int32), dtype=3)
    graph += node("not_const", kernel, op=b"Identity") + field(4, field(1, 26))  # field 4: the graph's versions
    graph += node("filled", np.zeros((2, 2), np.float32), floats=np.float32(7).tobytes())

    found = dict(_constants(memoryview(graph)))

    assert set(found) == {"conv/conv2d_params", "filled"}
    assert np.array_equal(found["conv/conv2d_params"], kernel)
    assert np.array_equal(found["filled"], np.full((2, 2), 7))


def test_every_convolution_has_its_own_scope():
    assert set(scopes()) == {step.name for step, _ in convolutions()}
    assert len(set(scopes().values())) == 94
    known = {
        "Conv2d_4a_3x3": "conv_4",
        "Mixed_5b.branch1x1": "mixed/conv",
        "Mixed_6a.branch3x3dbl_3": "mixed_3/tower/conv_2",
        "Mixed_6d.branch1x1": "mixed_6/conv",  # the node that sFID reads
        "Mixed_7a.branch7x7x3_4": "mixed_8/tower_1/conv_3",
        "Mixed_7c.branch3x3dbl_3b": "mixed_10/tower_1/mixed/conv_1",
    }
    assert {name: scopes()[name] for name in known} == known


def test_layouts_become_those_of_the_pytorch_file():
    def blank(*shape):
        return np.broadcast_to(np.float32(0), shape)

    constants = {"softmax/weights": blank(2048, 1008), "softmax/biases": blank(1008)}
    for step, channels in convolutions():
        scope = scopes()[step.name]
        constants[f"{scope}/conv2d_params"] = blank(*step.kernel, channels, step.features)
        for part in ("gamma", "beta", "moving_mean", "moving_variance"):
            constants[f"{scope}/batchnorm/{part}"] = blank(step.features)
    assert {name: array.shape for name, array in torch_tensors(constants).items()} == tensor_shapes()


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "graph.pb"
    path.write_bytes(node("other", np.zeros(2, np.float32)))
    with pytest.raises(GraphError, match=r"no constant 'softmax/weights': not the FID network"):
        read_graph(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(GraphError, match="not a TensorFlow graph definition, or damaged"):
        read_graph(path)
    path.write_bytes(b"\xff" * 7)
    with pytest.raises(GraphError, match="not a TensorFlow graph definition, or damaged"):
        read_graph(path)
