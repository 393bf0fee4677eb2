"""DINOv2 gives PyTorch's features on recipe weights, under both programs' names; a wrong file is refused."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dit_grid.experiments.networks.dinov2 import DINOv2Config, features
from dit_grid.experiments.networks.dinov2_weights import DINOv2WeightsError, dinov2_of, load_dinov2, tensor_shapes

GOLDEN = Path(__file__).parents[2] / "golden"
CONFIG = DINOv2Config(width=128, depth=2)


@pytest.fixture(scope="module")
def tensors(recipe_weight):
    named = {name: recipe_weight(name, shape, 11, gain=1.0) for name, shape in tensor_shapes(CONFIG).items()}
    return named | {"mask_token": np.zeros((1, 128), np.float32)}


def theirs(tensors):
    """The same tensors as files of the transformers package name them."""
    found = {}
    for name, array in tensors.items():
        block = name.replace("blocks.", "encoder.layer.")
        if "attn.qkv" in name:
            for part, piece in zip(("query", "key", "value"), np.split(array, 3), strict=True):
                found[block.replace("attn.qkv", f"attention.attention.{part}")] = piece
            continue
        for ours, other in (
            ("attn.proj", "attention.output.dense"), ("ls1.gamma", "layer_scale1.lambda1"),
            ("ls2.gamma", "layer_scale2.lambda1"), ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            ("pos_embed", "embeddings.position_embeddings"),
        ):  # fmt: skip
            block = block.replace(ours, other)
        if name in ("cls_token", "mask_token"):
            block = f"embeddings.{name}"
        found["layernorm" + block.removeprefix("norm") if block.startswith("norm.") else block] = array
    return found


@pytest.mark.parametrize("size", [64, pytest.param(256, marks=pytest.mark.slow)])
def test_features_are_those_of_pytorch_under_both_names(size, tensors, recipe_images):
    images = recipe_images(5, 2, size)
    with np.load(GOLDEN / "dinov2.npz") as golden:
        for name, named in (("authors", tensors), ("transformers", theirs(tensors))):
            known = golden[f"{name}_{size}"]
            # float32 against float64; the two ways of resizing positions are 4e-4 apart.
            np.testing.assert_allclose(features(dinov2_of(named), images), known, rtol=0, atol=3e-5)


def test_a_file_gives_features_for_any_score(tmp_path, tensors, recipe_images):
    save_file(dict(tensors), tmp_path / "dinov2.safetensors")
    network = load_dinov2(tmp_path / "dinov2.safetensors")
    found = np.asarray(network.extract(recipe_images(5, 2, 64))["pool"])
    assert (network.name, found.shape, len(network.sha256)) == ("dinov2", (2, 128), 64)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"norm.bias": None}, r"1 tensors missing \(norm\.bias\)"),
        ({"register_tokens": np.zeros((1, 4, 128))}, r"1 tensors unexpected \(register_tokens\)"),
        ({"patch_embed.proj.weight": None}, r"no usable 'patch_embed\.proj\.weight'"),
        ({"norm.bias": np.full(128, np.nan)}, r"1 tensors not finite \(norm\.bias\)"),
    ],
)
def test_another_networks_weights_are_refused_with_where_to_get_the_right_ones(tensors, changed, message):
    wrong = {name: array for name, array in (tensors | changed).items() if array is not None}
    with pytest.raises(DINOv2WeightsError, match=rf"{message}.*; it is dinov2_vitl14_pretrain\.pth"):
        dinov2_of(wrong)


def test_a_missing_file_says_where_to_get_it(tmp_path):
    with pytest.raises(DINOv2WeightsError, match="no such file; DINOv2 is dinov2_vitl14_pretrain"):
        load_dinov2(tmp_path / "none.pth")
