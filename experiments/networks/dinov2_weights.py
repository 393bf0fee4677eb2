"""DINOv2's published weights into our network, by the names of the authors' files or of the transformers package.

Every tensor of the file is accounted for, or the file is refused with what differs.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from dit_grid.experiments.networks.dinov2 import HEAD_WIDTH, POSITION_OFFSET, DINOv2, DINOv2Config, features
from dit_grid.experiments.networks.features import POOL, FeatureNetwork
from dit_grid.experiments.networks.local_devices import copied, parameter, spread
from dit_grid.experiments.networks.publishers import DINOV2
from dit_grid.experiments.networks.weight_files import tensor_faults
from dit_grid.experiments.networks.weight_places import read_weights, weight_place, weights_sha256
from dit_grid.model.abstract import network_shapes

TRANSFORMERS_NAMES = (
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.(output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.q_proj\.", ".attn.query."),
    (r"\.attention\.k_proj\.", ".attn.key."),
    (r"\.attention\.v_proj\.", ".attn.value."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"^layernorm\.", "norm."),
)
"""From the transformers package's names, those of its files and of its present modules, to the authors'; the three
parts of qkv are put together after."""

UNUSED = ("mask_token",)
"""Only training needs these."""


class DINOv2WeightsError(ValueError):
    """A file that does not hold this network; the message lists what differs and where to get the right one."""


def load_dinov2(path: Path) -> FeatureNetwork:
    """The feature network with the weights of a file of either form; its sizes are those of the tensors.

    Raises DINOv2WeightsError for another network's weights and a missing file.
    """
    if not path.exists():
        raise DINOv2WeightsError(f"{path}: no such file; DINOv2 is {DINOV2}")
    path = weight_place(path)
    network = dinov2_of(read_weights(path), source=str(path))
    graph, weights = nnx.split(network)
    network = nnx.merge(graph, copied(weights))
    return FeatureNetwork(
        name="dinov2",
        sha256=weights_sha256(path),
        preparation="bicubic with antialiasing to 224, class token",
        extract=lambda images: {POOL: features(network, spread(images))},
    )


def dinov2_of(tensors: Mapping[str, np.ndarray], source: str = "weights") -> DINOv2:
    """The network with these tensors, positions resized as the file's own program does; raises DINOv2WeightsError."""
    theirs = any(name.startswith("embeddings.") for name in tensors)
    named = {name: array for name, array in _renamed(tensors).items() if name not in UNUSED}
    config = _config(named, source)
    if faults := tensor_faults(tensor_shapes(config), named):
        raise DINOv2WeightsError(f"{source}: not DINOv2: {faults}; it is {DINOV2}")
    offset = 0.0 if theirs else POSITION_OFFSET
    network = network_shapes(lambda rngs: DINOv2(config, rngs, offset))
    for name, array in named.items():
        _parameter(network, name).set_value(parameter(_ours(name, array)))
    return network


def tensor_shapes(config: DINOv2Config) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the authors' file that features depend on."""
    width, inner = config.width, config.mlp_ratio * config.width
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + config.grid**2, width),
        "patch_embed.proj.weight": (width, 3, config.patch, config.patch),
        "patch_embed.proj.bias": (width,),
        **_pair("norm", (width,)),
    }
    for i in range(config.depth):
        block = f"blocks.{i}"
        shapes |= _pair(f"{block}.norm1", (width,)) | _pair(f"{block}.norm2", (width,))
        shapes |= _pair(f"{block}.attn.qkv", (3 * width, width)) | _pair(f"{block}.attn.proj", (width, width))
        shapes |= _pair(f"{block}.mlp.fc1", (inner, width)) | _pair(f"{block}.mlp.fc2", (width, inner))
        shapes |= {f"{block}.ls{n}.gamma": (width,) for n in (1, 2)}
    return shapes


def _pair(name: str, weight: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


def _renamed(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    named: dict[str, np.ndarray] = {}
    for name, array in tensors.items():
        for pattern, replacement in TRANSFORMERS_NAMES:
            name = re.sub(pattern, replacement, name)
        named[name] = array
    for query in [name for name in named if ".attn.query." in name]:
        parts = [query.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if len({named[part].shape if part in named else None for part in parts}) == 1 and named[query].ndim:
            named[query.replace(".query.", ".qkv.")] = np.concatenate([named.pop(part) for part in parts])
    return named


def _config(named: Mapping[str, np.ndarray], source: str) -> DINOv2Config:
    """Sizes as the tensors have them."""
    try:
        width, _, patch, _ = named["patch_embed.proj.weight"].shape
        grid = math.isqrt(named["pos_embed"].shape[1] - 1)
        inner = named["blocks.0.mlp.fc1.weight"].shape[0]
    except (KeyError, ValueError, IndexError) as error:
        raise DINOv2WeightsError(f"{source}: not DINOv2: no usable {error}; it is {DINOV2}") from error
    depth = 1 + max(int(match[1]) for name in named if (match := re.match(r"blocks\.(\d{1,4})\.", name)))
    if not width or width % HEAD_WIDTH or inner % width:
        raise DINOv2WeightsError(f"{source}: not DINOv2: width {width} is no multiple of {HEAD_WIDTH}; it is {DINOV2}")
    return DINOv2Config(width, depth, patch, grid, inner // width)


def _parameter(network: DINOv2, name: str) -> nnx.Param:
    """The parameter that a tensor of the authors' file belongs to."""
    *path, leaf = (
        name.replace(".attn.", ".").replace(".mlp.", ".").replace("patch_embed.proj.", "patch_embed.").split(".")
    )
    if leaf == "gamma":
        *path, leaf = path
    place: Any = network
    for part in path:
        place = place[int(part)] if part.isdigit() else getattr(place, part)
    if leaf == "weight":
        leaf = "scale" if isinstance(place, nnx.LayerNorm) else "kernel"
    found: nnx.Param = getattr(place, leaf)
    return found


def _ours(name: str, theirs: np.ndarray) -> np.ndarray:
    if theirs.ndim == 4:
        return theirs.transpose(2, 3, 1, 0)
    return theirs.T if theirs.ndim == 2 and name.endswith(".weight") else theirs
