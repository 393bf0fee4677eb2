"""Files with the names and shapes of published ones are recognised, checked and copied without a change of a number."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from dit_grid.experiments.networks.autoencoder import VAEConfig
from dit_grid.experiments.networks.autoencoder_weights import load_vae, tensor_shapes as vae_shapes
from dit_grid.experiments.networks.inception_weights import inception_of, tensor_shapes as inception_shapes
from dit_grid.experiments.networks.published import WHERE, dit_config, import_weights, kind_of, load_dit
from dit_grid.experiments.networks.weight_files import file_sha256, read_header, weights_sha256
from dit_grid.model import DiT, DiTConfig
from dit_grid.model.layouts import LayoutName
from dit_grid.model.weights import WeightsError, to_tensors

SMALL = DiTConfig(8, 2, 48, 2, 3, classes=5)
VAE = VAEConfig(widths=(16, 32, 32, 32), layers=1, groups=8)
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "vae_kl.json").read_text())


def dit_shapes(config, layout: LayoutName = "reference"):
    """Names and shapes of a DiT's file, without its numbers."""
    state = nnx.state(nnx.eval_shape(lambda: DiT(config, nnx.Rngs(0))), nnx.Param)
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), state)
    return to_tensors(config, empty, layout)


def dit_tensors(seed=0):
    """The small DiT's tensors with noise in every one, for as it starts its output is 0."""
    draw = np.random.default_rng(seed)
    net = DiT(SMALL, nnx.Rngs(0))
    tensors = to_tensors(SMALL, nnx.state(net, nnx.Param))
    return {
        name: np.asarray(array) + np.float32(0.05) * draw.standard_normal(array.shape, np.float32)
        if name != "pos_embed"
        else array
        for name, array in tensors.items()
    }


@pytest.fixture
def file(tmp_path):
    save_file(dit_tensors(), tmp_path / "mine.safetensors")
    return tmp_path / "mine.safetensors"


def test_a_file_of_the_published_dit_is_known_by_its_shapes_alone():
    """Key and shape tables of the full DiT-XL/2 at 256 pixels, and of 512, in both layouts."""
    for latents in (32, 64):
        config = DiTConfig.from_name("XL/2", image_size=latents)
        assert dit_config(dit_shapes(config), Path("DiT-XL-2.pt"), model="XL/2", image_size=latents) == config
        diffusers = dit_shapes(config, "diffusers")
        assert dit_config(diffusers, Path("diffusion_pytorch_model.safetensors"), image_size=latents) == config
    with pytest.raises(WeightsError, match=r"does not say its image size; add --image-size 256, or 512"):
        dit_config(diffusers, Path("diffusion_pytorch_model.safetensors"))


def test_every_published_network_is_told_from_the_others():
    assert kind_of(dit_shapes(SMALL), "f") == kind_of(dit_shapes(SMALL, "diffusers"), "f") == "dit"
    assert kind_of(dict.fromkeys(vae_shapes(VAE), np.zeros(1)), "f") == "vae"
    assert kind_of({"first_stage_model.encoder.conv_in.weight": np.zeros(1)}, "f") == "vae"
    assert kind_of(dict.fromkeys(inception_shapes(), np.zeros(1)), "f") == "inception"
    with pytest.raises(WeightsError, match=r"f: 1 tensors, none of a DiT, the VAE or the FID network \(fc\.weight"):
        kind_of({"fc.weight": np.zeros(1)}, "f")


def test_an_imported_dit_is_the_same_network_and_needs_nothing_beside_its_file(tmp_path, file):
    imported = import_weights(file, tmp_path / "weights", heads=3)

    assert (imported.kind, imported.network) == ("dit", "DiT-2x48/2, 8 x 8 x 4 latents, 5 classes")
    assert imported.sha256 == file_sha256(file) == weights_sha256(Path(imported.written))
    assert imported.written.endswith(f"dit-2x48-2-{imported.sha256[:8]}.safetensors")
    ours = load_dit(Path(imported.written))
    assert ours.config == SMALL
    theirs = load_dit(file, heads=3)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), nnx.state(ours), nnx.state(theirs)))
    again = import_weights(Path(imported.written), tmp_path / "weights")
    assert (again.written, again.sha256) == (imported.written, imported.sha256)


def test_an_imported_vae_keeps_its_sizes_and_its_source(tmp_path, recipe_weight):
    tensors = {name: recipe_weight(name, shape, 0, gain=1.0) for name, shape in vae_shapes(VAE).items()}
    (tmp_path / "sd").mkdir()
    save_file(tensors | {"loss.logvar": np.zeros(1)}, tmp_path / "sd" / "vae.safetensors")
    (tmp_path / "sd" / "config.json").write_text(json.dumps(GOLDEN["cases"]["tiny"]["config"]))

    imported = import_weights(tmp_path / "sd" / "vae.safetensors", tmp_path / "weights")

    assert (imported.kind, imported.tensors, imported.published) == ("vae", len(tensors), None)
    assert load_vae(Path(imported.written)).config == VAE
    held = load_file(imported.written)
    assert all(np.array_equal(held[name], array) for name, array in tensors.items())
    header = read_header(Path(imported.written))
    assert header is not None
    assert header.source == "vae.safetensors"


def test_a_wrong_file_writes_nothing_and_says_what_is_wrong(tmp_path, file):
    out = tmp_path / "weights"
    tensors = dit_tensors()
    lacking = {name: array for name, array in tensors.items() if name != "blocks.1.mlp.fc1.bias"}
    save_file(lacking, tmp_path / "lacking.safetensors")
    for path, asked, message in (
        (file, {}, r"a DiT of depth 2 and width 48, none of the paper's \(S 12 x 384, .*\): add --heads"),
        (file, {"heads": 3, "model": "XL/2"}, r"holds a DiT-2x48/2, not XL/2: ask for that, or give another file"),
        (file, {"heads": 3, "image_size": 32}, r"8 latents a side, 64 pixels, not 256"),
        (tmp_path / "lacking.safetensors", {"heads": 3}, r"1 missing: blocks\.1\.mlp\.fc1\.bias"),
        (tmp_path / "none.pt", {}, r"none\.pt: no such file; published are: DiT-XL-2-256x256\.pt"),
    ):
        with pytest.raises(WeightsError, match=message):
            import_weights(path, out, **asked)
    (tmp_path / "torn.safetensors").write_bytes(file.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        import_weights(tmp_path / "torn.safetensors", out)
    assert not out.exists()
    assert "6726825d" in WHERE["inception"]


def test_inception_is_refused_by_the_shape_that_differs():
    tensors = {name: np.zeros(shape, np.float32) for name, shape in inception_shapes().items()}
    tensors["fc.weight"] = tensors["fc.weight"][:1000]
    with pytest.raises(ValueError, match=r"1 tensors of another shape \(fc\.weight\).*6726825d"):
        inception_of(tensors)
