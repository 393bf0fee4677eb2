"""The FID network gives the golden features on recipe weights, with TensorFlow 1's resize; a wrong file is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from dit_grid.experiments.networks import inception
from dit_grid.experiments.networks.features import PREPARATIONS
from dit_grid.experiments.networks.inception import Inception, features, resize_clean, resize_half_pixel, resize_tf1
from dit_grid.experiments.networks.inception_weights import (
    InceptionWeightsError,
    feature_network,
    inception_of,
    load_inception,
    tensor_shapes,
)

GOLDEN = Path(__file__).parents[2] / "golden"
KNOWN = json.loads((GOLDEN / "inception_fid.json").read_text())


@pytest.fixture(scope="module")
def tensors(recipe_weight):
    return {name: recipe_weight(name, shape, KNOWN["seed"], gain=2.0) for name, shape in tensor_shapes().items()}


@pytest.fixture(scope="module")
def network(tensors):
    return inception_of(tensors)


def blank(**changed):
    """Tensors of the right names and shapes that take no memory."""
    shapes = tensor_shapes() | changed
    return {name: np.broadcast_to(np.float32(1), shape) for name, shape in shapes.items() if shape is not None}


def test_names_and_shapes_are_those_of_the_published_file(tensors):
    assert tensor_shapes() == {name: tuple(shape) for name, shape in KNOWN["keys"].items()}
    for name, head in KNOWN["weights_head"].items():
        assert list(tensors[name].ravel()[:3]) == head


def test_a_second_file_leaves_the_network_of_the_first_alone():
    first, second = inception_of(blank()), inception_of(blank() | {"fc.weight": np.zeros((1008, 2048), np.float32)})
    assert np.all(np.asarray(first.classifier.kernel[...]) == 1)
    assert np.all(np.asarray(second.classifier.kernel[...]) == 0)


@pytest.mark.parametrize("size", [64, pytest.param(299, marks=pytest.mark.slow)])
def test_features_are_the_golden_ones(size, network, recipe_images):
    found = features(network, recipe_images(KNOWN["img_seed"][str(size)], 4, size))
    classify = feature_network(network, "").classify
    assert classify is not None
    logits = classify(np.asarray(found.pool))
    np.testing.assert_allclose(logits, found.logits, rtol=0, atol=1e-5 * np.abs(logits).max())  # float32 sums of 2,048

    with np.load(GOLDEN / "inception_fid.npz") as golden:
        for array, name in zip(found, ("pool3", "spatial", "logits_unbiased"), strict=True):
            known = golden[f"{name}_{size}"]
            # float32 against float64: 4e-7 of the largest value, spatial 4e-6; the typical mistakes cost 1e-2.
            np.testing.assert_allclose(array, known, rtol=0, atol=1e-5 * np.abs(known).max())


RESIZES = json.loads((GOLDEN / "inception_resizes.json").read_text())


@pytest.mark.parametrize("size", ["32", "64", "256", "299", "512"])
def test_other_programs_resizes_are_theirs(size, recipe_images):
    """pytorch-fid's through torch, clean-fid's through Pillow, at points of images of seeded noise and ramps."""
    images, known = recipe_images(RESIZES[size]["img_seed"], 2, int(size)), RESIZES[size]
    at = tuple(np.array(known["points"]).T)
    half, clean = np.asarray(resize_half_pixel(images, 299)), resize_clean(images, 299)
    # Positions in float32 are off by 1e-5 of a pixel at most, and neighbours differ by up to 255.
    np.testing.assert_allclose(half[at], known["pytorch_halfpixel_bilinear"], rtol=0, atol=6e-3)
    np.testing.assert_allclose(clean[at], known["clean_pil_bicubic"], rtol=0, atol=2e-3)
    np.testing.assert_allclose([half.mean(), clean.mean()], [known["pytorch_mean"], known["clean_mean"]], rtol=1e-5)


def test_features_may_be_made_with_either_resize(network, recipe_images):
    images = recipe_images(KNOWN["img_seed"]["64"], 4, 64)
    with np.load(GOLDEN / "inception_fid.npz") as golden:
        tf1 = golden["pool3_64"]
    for other in sorted({*PREPARATIONS} - {"tf1"}):
        found = np.asarray(feature_network(network, "", other).extract(images)["pool"])
        assert 1e-3 < np.linalg.norm(found - tf1) / np.linalg.norm(tf1) < 0.2
    assert feature_network(network, "", "clean-fid").preparation == "uint8, Pillow bicubic to 299 (clean-fid)"


@pytest.mark.slow
def test_the_form_for_accelerators_gives_the_same(tensors, recipe_images, monkeypatch):
    """CPUs pool and multiply by other operations; here theirs runs on the CPU."""
    monkeypatch.setattr(inception.jax, "default_backend", lambda: "gpu")
    found = nnx.jit(Inception.__call__)(inception_of(tensors), recipe_images(KNOWN["img_seed"]["64"], 4, 64))
    with np.load(GOLDEN / "inception_fid.npz") as golden:
        np.testing.assert_allclose(found.pool, golden["pool3_64"], rtol=0, atol=1e-5 * golden["pool3_64"].max())


@pytest.mark.parametrize("size", KNOWN["resize"])
def test_resize_is_that_of_tensorflow_1(size, recipe_images):
    case = KNOWN["resize"][size]
    found = np.asarray(resize_tf1(recipe_images(case["img_seed"], 2, int(size)), 299))
    at = tuple(np.array(case["points"]).T)
    # On 0…255; fused multiply-adds may change the seventh digit. The half-pixel rule differs by tens of grey levels.
    np.testing.assert_allclose(found[at], case["tf1"], atol=2e-3)
    assert found.mean(dtype=np.float64) == pytest.approx(case["tf1_mean"], abs=2e-3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fc.bias": None}, r"1 tensors missing \(fc\.bias\)"),
        ({"AuxLogits.fc.weight": (1000, 768)}, r"1 tensors unexpected \(AuxLogits\.fc\.weight\)"),
        ({"fc.weight": (1000, 2048), "fc.bias": (1000,)}, r"2 tensors of another shape \(fc\.weight, fc\.bias\)"),
    ],
)
def test_another_networks_weights_are_refused_with_where_to_get_the_right_ones(changed, message):
    with pytest.raises(InceptionWeightsError, match=rf"{message}; it is pt_inception-2015-12-05-6726825d\.pth"):
        inception_of(blank(**changed))


def test_a_missing_file_says_where_to_get_it(tmp_path):
    with pytest.raises(InceptionWeightsError, match=r"no such file; the FID network is pt_inception.*pytorch-fid"):
        load_inception(tmp_path / "inception.pth")


def test_weights_other_than_the_published_warn_with_their_hash(tmp_path):
    path = tmp_path / "inception.safetensors"
    save_file({name: np.ascontiguousarray(array) for name, array in blank().items()}, path)
    with pytest.warns(UserWarning, match="not 6726825d"):
        found = load_inception(path)
    assert len(found.sha256) == 64
