"""The VAE encodes and decodes as diffusers does, on recipe weights, and takes the weight files of three programs."""

import collections
import json
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from dit_grid.experiments.networks.autoencoder import (
    AutoencoderKL,
    LatentGaussian,
    VAEConfig,
    compiled_decode,
    compiled_encode,
)
from dit_grid.experiments.networks.autoencoder_config import VAEWeightsError, read_config
from dit_grid.experiments.networks.autoencoder_weights import config_of, load_vae, tensor_shapes, vae_of
from dit_grid.experiments.networks.local_devices import compiled_for
from dit_grid.experiments.networks.weight_places import read_weights

GOLDEN = Path(__file__).parents[2] / "golden"
KNOWN = json.loads((GOLDEN / "vae_kl.json").read_text())
TINY = VAEConfig(widths=(16, 32, 32, 32), layers=1, groups=8)
CONFIGS = {"tiny": TINY, "sd": VAEConfig()}


def recipe(tag, recipe_weight):
    return {n: recipe_weight(n, shape, KNOWN["seed"], gain=1.0) for n, shape in tensor_shapes(CONFIGS[tag]).items()}


@pytest.fixture(scope="module")
def tiny(recipe_weight):
    return recipe("tiny", recipe_weight)


def assert_golden(found, name):
    with np.load(GOLDEN / "vae_kl.npz") as golden:
        known = np.moveaxis(golden[name], 1, -1)
    # float32 against float64 differs by 4e-6 of the largest value; a wrong epsilon in the norms by 2e-5.
    np.testing.assert_allclose(found, known, rtol=0, atol=1e-5 * np.abs(known).max())


@pytest.mark.parametrize("tag", ["tiny", pytest.param("sd", marks=pytest.mark.slow)])
def test_golden_latents_and_images(tag, recipe_weight, recipe_images):
    vae = vae_of(CONFIGS[tag], recipe(tag, recipe_weight))
    images = recipe_images(KNOWN["image"]["seed"], 2, 64) / 127.5 - 1
    draw = np.random.default_rng(KNOWN["image"]["latent_seed"]).standard_normal((2, 4, 8, 8))

    mean, log_variance = compiled_encode(vae)(images.astype(np.float32))

    assert_golden(mean, f"{tag}_mean")
    assert_golden(log_variance, f"{tag}_logvar")
    assert_golden(compiled_decode(vae)(np.moveaxis(draw, 1, -1).astype(np.float32)), f"{tag}_dec")


@pytest.mark.parametrize("tag", CONFIGS)
def test_names_and_shapes_are_those_of_diffusers(tag):
    known, found = KNOWN["cases"][tag], tensor_shapes(CONFIGS[tag])
    assert (len(found), sum(map(np.prod, found.values()))) == (known["n_tensors"], known["n_params"])
    if tag == "tiny":
        assert found == {name: tuple(shape) for name, shape in known["keys"].items()}


def older_diffusers(name):
    for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        name = name.replace(new, old)
    return name


def original(name):
    """The original checkpoint's name: the decoder's levels counted from the finest, mid-block parts one by one."""
    level = re.match(r"decoder\.up_blocks\.(\d)", name)
    if level:
        name = name.replace(level[0], f"decoder.up.{3 - int(level[1])}")
    pairs = [("down_blocks", "down"), ("mid_block.resnets.0", "mid.block_1"), ("mid_block.resnets.1", "mid.block_2")]
    pairs += [("mid_block.attentions.0", "mid.attn_1"), ("group_norm", "norm"), ("to_out.0", "proj_out")]
    pairs += [("resnets", "block"), ("downsamplers.0", "downsample"), ("upsamplers.0", "upsample")]
    pairs += [("conv_shortcut", "nin_shortcut"), ("conv_norm_out", "norm_out"), *((f"to_{x}.", f"{x}.") for x in "qkv")]
    for ours, theirs in pairs:
        name = name.replace(ours, theirs)
    return name


def as_original(tensors, prefix=""):
    """Attention by 1×1 convolutions, and the training state that such files carry."""
    named = {f"{prefix}{original(name)}": array for name, array in tensors.items()}
    for name, array in named.items():
        if "attn_1" in name and array.ndim == 2:
            named[name] = array[:, :, None, None]
    return named | {"loss.logvar": np.zeros((), np.float32), "model_ema.decay": np.zeros((), np.float32)}


def states_equal(first, second):
    return jax.tree.all(jax.tree.map(np.array_equal, nnx.state(first), nnx.state(second)))


def test_every_spelling_of_the_names_gives_the_same_network(tiny):
    assert "decoder.up.3.block.0.norm1.weight" in as_original(tiny)  # the first to run, of the coarsest level
    assert "encoder.mid.attn_1.q.weight" in as_original(tiny)
    known = vae_of(TINY, tiny)
    for spelled in (
        {older_diffusers(name): array for name, array in tiny.items()},
        as_original(tiny),
        as_original(tiny, prefix="first_stage_model."),
    ):
        assert states_equal(vae_of(TINY, spelled), known)


def test_files_load_with_the_sizes_beside_them(tmp_path, tiny, torch_writing):
    (tmp_path / "config.json").write_text(json.dumps(KNOWN["cases"]["tiny"]["config"]))
    save_file(tiny, tmp_path / "vae.safetensors")
    held = {"state_dict": as_original(tiny), "epoch": 3, "callbacks": {collections.Counter: {"best": 1}}}
    (tmp_path / "vae.ckpt").write_bytes(torch_writing.torch_bytes(held))

    assert read_config(tmp_path / "config.json") == TINY
    assert states_equal(load_vae(tmp_path / "vae.safetensors"), vae_of(TINY, tiny))
    assert states_equal(load_vae(tmp_path / "vae.ckpt"), vae_of(TINY, tiny))


def test_other_files_are_refused_with_what_differs_and_where_to_get_the_right_one(tmp_path, tiny):
    wrong = {name: array for name, array in tiny.items() if name != "quant_conv.bias"} | {"encoder.extra": np.zeros(1)}
    with pytest.raises(
        VAEWeightsError, match=r"1 tensors missing \(quant_conv.bias\); 1 tensors unexpected \(encoder.ex"
    ):
        vae_of(TINY, wrong)
    with pytest.raises(VAEWeightsError, match=r"missing .*of another shape.*sd-vae-ft-ema"):
        vae_of(VAEConfig(), tiny)
    with pytest.raises(VAEWeightsError, match="1 tensors not finite"):
        vae_of(TINY, tiny | {"quant_conv.bias": np.full(8, np.nan, np.float32)})
    with pytest.raises(VAEWeightsError, match=r"no such file; the VAE is diffusion_pytorch_model\.safetensors"):
        load_vae(tmp_path / "vae.safetensors")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(VAEWeightsError, match=r"no 'block_out_channels': not the config\.json of an AutoencoderKL"):
        read_config(tmp_path / "config.json")


CONFIG = KNOWN["cases"]["tiny"]["config"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"shift_factor": 0.0609}, r"shift_factor 0\.0609"),
        ({"latents_mean": [0.1], "latents_std": [1.0]}, r"latents_mean \[0\.1\].*latents_std"),
        ({"act_fn": "relu"}, "act_fn 'relu'"),
        ({"out_channels": 4}, "out_channels 4"),
        ({"in_channels": 1, "out_channels": 1}, "in_channels 1: images of 3 channels"),
        ({"latent_channels": 3}, "latent_channels 3 is not supported"),
        ({"use_quant_conv": False}, "use_quant_conv False"),
        ({"mid_block_add_attention": False}, "mid_block_add_attention False"),
        ({"_class_name": "AutoencoderTiny"}, "_class_name 'AutoencoderTiny'"),
        ({"down_block_types": ["AttnDownEncoderBlock2D"] * 4}, "down_block_types .*DownEncoderBlock2D alone"),
        ({"new_setting": 2}, r"new_setting 2 \(not known here\)"),
        ({"scaling_factor": 0}, "scaling_factor 0: a number above 0"),
        ({"scaling_factor": float("nan")}, "scaling_factor nan: a number above 0"),
        ({"layers_per_block": 10**9}, "layers_per_block 1000000000: a whole number from 1 to 16"),
        ({"block_out_channels": [16] * 1000}, "has 1000 levels"),
        ({"block_out_channels": 16}, "block_out_channels"),
        ({"norm_num_groups": 3}, "block_out_channels 16 is no multiple of norm_num_groups 3"),
    ],
)
def test_settings_that_would_make_other_numbers_are_refused_by_name(tmp_path, setting, words):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | setting))
    with pytest.raises(VAEWeightsError, match=words):
        read_config(tmp_path / "config.json")


def test_the_scale_of_latents_is_the_files_own(tmp_path, tiny, torch_writing):
    """0.13025 is SDXL's: its latents are multiplied by that where they train, and divided where they are decoded."""
    save_file(tiny, tmp_path / "vae.safetensors")
    latents = np.random.default_rng(0).standard_normal((1, 8, 8, 4)).astype(np.float32)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"scaling_factor": 0.13025, "force_upcast": True}))
    theirs = load_vae(tmp_path / "vae.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in CONFIG.items() if k != "scaling_factor"}))
    usual = load_vae(tmp_path)
    assert (theirs.config.scaling, usual.config.scaling) == (0.13025, 0.18215)
    same = compiled_decode(usual)(latents * np.float32(0.18215 / 0.13025))
    np.testing.assert_allclose(compiled_decode(theirs)(latents), same, rtol=0, atol=1e-5)
    (tmp_path / "config.json").unlink()
    held = {f"first_stage_model.{name}": array for name, array in as_original(tiny).items()}
    shapes = {"x.ckpt": held | {"scale_factor": np.array(0.2, np.float32)}}
    (tmp_path / "x.ckpt").write_bytes(torch_writing.torch_bytes(shapes["x.ckpt"]))
    assert config_of(tmp_path / "x.ckpt", read_weights(tmp_path / "x.ckpt")).scaling == np.float32(0.2)


def test_images_that_do_not_divide_into_latents_are_refused(tiny):
    with pytest.raises(ValueError, match=r"images \(64, 60\) to encode: sides must be multiples of 8"):
        vae_of(TINY, tiny).encode(jnp.zeros((1, 64, 60, 3)))


def test_latents_are_drawn_with_the_stated_mean_and_spread():
    gaussian = LatentGaussian(jnp.full((2000,), 3.0), jnp.full((2000,), 2 * np.log(0.5)))
    drawn = gaussian.sample(jax.random.key(0))
    assert float(drawn.mean()) == pytest.approx(3.0, abs=0.05)  # four standard errors
    assert float(drawn.std()) == pytest.approx(0.5, abs=0.04)


def products(jaxpr):
    """The precisions of all products of a traced program."""
    for equation in jaxpr.eqns:
        inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        if inner is not None:
            yield from products(inner.jaxpr)
        elif equation.primitive.name in ("conv_general_dilated", "dot_general"):
            yield from equation.params["precision"]


@pytest.mark.parametrize(("platform", "precision"), [("tpu", "HIGH"), ("gpu", "HIGHEST"), ("cpu", "HIGHEST")])
def test_products_are_of_float32_but_on_tpus(platform, precision):
    """Three passes there, as benchmarks/decoder_precision.py allows; one, the default, nowhere."""
    with compiled_for([SimpleNamespace(platform=platform)]):
        vae = nnx.eval_shape(lambda: AutoencoderKL(TINY, nnx.Rngs(0)))
        graph, state = nnx.split(vae)
        for program, shape in (("decode", (1, 4, 4, 4)), ("encode", (1, 32, 32, 3))):
            image = jax.ShapeDtypeStruct(shape, jnp.float32)
            found = jax.make_jaxpr(
                lambda s, x, name=program: getattr(nnx.merge(graph, s), name)(x), return_shape=False
            )(state, image)
            assert {one.name for one in products(found.jaxpr)} == {precision}
