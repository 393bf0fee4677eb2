"""Reads the FID network's published PyTorch weights into our network, batch norm folded into the convolutions.

Every tensor of the file is accounted for, or the file is refused with the list of what differs.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from flax import nnx

from dit_grid.experiments.networks.features import (
    CLEAN_FID,
    POOL,
    PREPARATIONS,
    PYTORCH_FID,
    SPATIAL,
    TF1,
    FeatureNetwork,
)
from dit_grid.experiments.networks.inception import (
    INPUT_SIZE,
    Features,
    Inception,
    abstract_inception,
    features,
    features_half_pixel,
    resize_clean,
)
from dit_grid.experiments.networks.inception_graph import CLASSES, POOL_FEATURES, convolutions
from dit_grid.experiments.networks.inception_tensorflow import read_graph
from dit_grid.experiments.networks.local_devices import copied, parameter, spread
from dit_grid.experiments.networks.publishers import INCEPTION, INCEPTION_SHA256
from dit_grid.experiments.networks.weight_files import tensor_faults
from dit_grid.experiments.networks.weight_places import weights_sha256
from dit_grid.model.weights import read_tensors

BATCH_NORM_EPSILON = 1e-3


class InceptionWeightsError(ValueError):
    """A file that does not hold the FID network; the message lists what differs and where to get the right one."""


def load_inception(path: Path, resize: str = TF1) -> FeatureNetwork:
    """The feature network with the weights of pytorch-fid's file, a safetensors copy of it, or ADM's frozen graph.

    `resize` is one of `PREPARATIONS`. Warns when the file is not the published one, whose FIDs alone can be compared
    with papers. Raises InceptionWeightsError for another network's weights and a missing file.
    """
    if not path.is_file():
        raise InceptionWeightsError(f"{path}: no such file; the FID network is {INCEPTION}")
    network = inception_of(_read(path), source=str(path))
    sha256 = weights_sha256(path)
    if not sha256.startswith(INCEPTION_SHA256):
        warnings.warn(
            f"{path}: SHA-256 is {sha256[:8]}…, not {INCEPTION_SHA256}…: FIDs compare with papers only if the tensors "
            f"are those of {INCEPTION}",
            stacklevel=2,
        )
    return feature_network(network, sha256, resize)


def feature_network(network: Inception, sha256: str, resize: str = TF1) -> FeatureNetwork:
    """The network as `image_scores` wants it; `sha256` is that of its weights' file."""
    kernel = np.asarray(network.classifier.kernel[...])
    graph, weights = nnx.split(network)
    network = nnx.merge(graph, copied(weights))
    return FeatureNetwork(
        name="inception",
        sha256=sha256,
        preparation=PREPARATIONS[resize],
        extract=lambda images: dict(zip((POOL, SPATIAL), _prepared(network, images, resize), strict=False)),
        classify=lambda rows: rows @ kernel,
    )


def _prepared(network: Inception, images: np.ndarray, resize: str) -> Features:
    if resize == CLEAN_FID:
        return features(network, spread(resize_clean(np.asarray(images), INPUT_SIZE)))
    return (features_half_pixel if resize == PYTORCH_FID else features)(network, spread(images))


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".pb":
        return read_graph(path)
    return read_tensors(path)


def inception_of(tensors: Mapping[str, np.ndarray], source: str = "weights") -> Inception:
    """The network with these tensors, by the names and layouts of `tensor_shapes`; raises InceptionWeightsError."""
    tensors = {name: array for name, array in tensors.items() if not name.endswith("num_batches_tracked")}
    if faults := tensor_faults(tensor_shapes(), tensors):
        raise InceptionWeightsError(f"{source}: not the FID network: {faults}; it is {INCEPTION}")
    network = nnx.merge(*abstract_inception())
    for step, _ in convolutions():
        kernel, bias = _folded(tensors, step.name)
        layer = network.convolutions[step.name]
        assert layer.bias is not None, "every convolution of the graph is made with a bias"
        layer.kernel.set_value(parameter(kernel))
        layer.bias.set_value(parameter(bias))
    network.classifier.kernel.set_value(parameter(tensors["fc.weight"].T))
    return network


def tensor_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the PyTorch file: 94 convolutions with batch norm, and the classifier."""
    shapes: dict[str, tuple[int, ...]] = {"fc.weight": (CLASSES, POOL_FEATURES), "fc.bias": (CLASSES,)}
    for step, channels in convolutions():
        shapes[f"{step.name}.conv.weight"] = (step.features, channels, *step.kernel)
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{step.name}.bn.{name}"] = (step.features,)
    return shapes


def _folded(tensors: Mapping[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (height, width, in, out) and bias, float32, that do the convolution and its batch norm at once."""
    norm = {part: tensors[f"{name}.bn.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean")}
    scale = norm["weight"] / np.sqrt(tensors[f"{name}.bn.running_var"].astype(np.float64) + BATCH_NORM_EPSILON)
    kernel = tensors[f"{name}.conv.weight"].transpose(2, 3, 1, 0) * scale
    return kernel.astype(np.float32), (norm["bias"] - norm["running_mean"] * scale).astype(np.float32)
