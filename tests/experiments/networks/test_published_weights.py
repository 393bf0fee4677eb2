"""Files with the names and shapes of published ones are recognised, checked and copied without a change of a number."""

import argparse
import json
import warnings
from dataclasses import asdict
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
from dit_grid.experiments.networks.weight_files import file_sha256, read_header
from dit_grid.experiments.networks.weight_places import read_weights, weights_sha256
from dit_grid.model import DiT, DiTConfig
from dit_grid.model.layouts import LayoutName
from dit_grid.model.weights import WeightsError, to_tensors

pytestmark = pytest.mark.filterwarnings("ignore:.*does not say what its network predicts")

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
    return {
        name: array if name == "pos_embed" else np.float32(0.15) * draw.standard_normal(array.shape, np.float32)
        for name, array in dit_shapes(SMALL).items()
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
    ours, _ = load_dit(Path(imported.written))
    assert ours.config == SMALL
    theirs, _ = load_dit(file, heads=3)
    assert jax.tree.all(jax.tree.map(np.array_equal, nnx.state(ours), nnx.state(theirs)))
    again = import_weights(Path(imported.written), tmp_path / "again")
    assert again.sha256 == file_sha256(Path(imported.written))
    assert again.claims == f"mine.safetensors, SHA-256 {imported.sha256}"
    assert weights_sha256(Path(again.written)) == imported.sha256


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


def checkpoint(**arguments):
    """A training checkpoint as DiT's and SiT's programs write it."""
    return {
        "model": dit_tensors(),
        "ema": dit_tensors(1),
        "opt": {"state": {}},
        "args": argparse.Namespace(**arguments),
    }


@pytest.mark.parametrize("arguments", [
    {"prediction": "velocity"},  # on which path, it does not say
    {"prediction": "v", "path_type": "linear"},  # REPA
    {"prediction": "velocity", "path_type": "Linear", "diffusion_steps": 500},
    {"prediction_type": "v_prediction"},
    {"predict_xstart": True},
    {"noise_schedule": "cosine"},
])  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_a_checkpoint_that_says_it_is_no_dit_is_kept_and_never_sampled_as_one(
    tmp_path, torch_writing, arguments, stream
):
    path = tmp_path / "0400000.pt"
    path.write_bytes(torch_writing.torch_bytes(checkpoint(model="mine", **arguments), stream))
    said = ", ".join(f"{name} {value}" for name, value in arguments.items())
    with pytest.raises(WeightsError, match=f"not trained as a DiT, it says: .*{said}"):
        load_dit(path, heads=3)
    imported = import_weights(path, tmp_path / "weights", heads=3)
    assert imported.objective == arguments
    with pytest.raises(WeightsError, match="not trained as a DiT"):
        load_dit(Path(imported.written))


def test_a_checkpoint_of_dit_is_sampled_and_one_that_is_silent_says_so(tmp_path, torch_writing):
    path = tmp_path / "a.pt"
    path.write_bytes(torch_writing.torch_bytes(checkpoint(prediction="epsilon", diffusion_steps=1000)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dit(path, heads=3)
    path.write_bytes(torch_writing.torch_bytes(checkpoint(model="DiT-XL/2", data_path=Path("/data"))))
    with pytest.warns(UserWarning, match=r"a\.pt does not say what its network predicts: it is taken for a DiT's"):
        load_dit(path, heads=3)


def test_the_scheduler_of_a_pipeline_says_what_its_transformer_predicts(tmp_path):
    config = DiTConfig(8, 2, 48, 2, 3, classes=5)
    (tmp_path / "transformer").mkdir()
    (tmp_path / "scheduler").mkdir()
    shapes = {name: array.shape for name, array in dit_shapes(config, "diffusers").items()}
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    save_file(tensors, tmp_path / "transformer" / "diffusion_pytorch_model.safetensors")
    said = {"_class_name": "DiTTransformer2DModel", "sample_size": 8, "num_attention_heads": 3}
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(said))
    scheduler = tmp_path / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps({"_class_name": "DDIMScheduler", "prediction_type": "epsilon"}))
    assert load_dit(tmp_path / "transformer")[0].config == config  # image size and heads from the configuration
    with pytest.raises(WeightsError, match=r"a whole pipeline; give one of its folders, .*transformer"):
        load_dit(tmp_path)
    scheduler.write_text(json.dumps({"_class_name": "FlowMatchEulerDiscreteScheduler"}))
    with pytest.raises(WeightsError, match="it says: prediction velocity"):
        load_dit(tmp_path / "transformer")
    scheduler.unlink()
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(said | {"activation_fn": "geglu"}))
    with pytest.raises(WeightsError, match="settings that a DiT does not have: activation_fn 'geglu'"):
        load_dit(tmp_path / "transformer")


def test_shards_are_read_together_and_an_index_names_no_file_elsewhere(tmp_path, file):
    tensors = dit_tensors()
    names, halves = sorted(tensors), ["x-00001-of-00002.safetensors", "x-00002-of-00002.safetensors"]
    for part, shard in enumerate(halves):
        save_file({name: tensors[name] for name in names[part::2]}, tmp_path / shard)
    index = tmp_path / "x.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {name: halves[i % 2] for i, name in enumerate(names)}}))
    whole = nnx.state(load_dit(file, heads=3)[0])
    for given in (index, tmp_path / halves[1]):
        found = nnx.state(load_dit(given, heads=3)[0])
        assert jax.tree.all(jax.tree.map(np.array_equal, found, whole))
    imported = import_weights(tmp_path / halves[0], tmp_path / "weights", heads=3)
    assert imported.sha256 == weights_sha256(index)
    for other in ("../secret-00001-of-00002.safetensors", "/etc/passwd", 3):
        index.write_text(json.dumps({"weight_map": {"w": other}}))
        with pytest.raises(WeightsError, match="names a shard"):
            load_dit(index, heads=3)
    index.write_text(json.dumps({"weight_map": {"w": "x-00003-of-00003.safetensors"}}))
    with pytest.raises(WeightsError, match="1 of 1 shards are not beside it"):
        load_dit(index, heads=3)


@pytest.mark.parametrize(("dtype", "bits"), [("float16", False), ("uint16", True)])
def test_half_precision_files_keep_their_own_rounding(tmp_path, torch_writing, dtype, bits):
    """The position table of a file in half precision differs from ours by 2.4e-4, in bfloat16 by 1.9e-3."""
    tensors = dit_tensors()
    path = tmp_path / "half.pt"
    half = {n: torch_writing.bfloat16_bits(a) if bits else a.astype(dtype) for n, a in tensors.items()}
    path.write_bytes(torch_writing.torch_bytes(half))
    rounded = half if not bits else {n: (a.astype(np.uint32) << 16).view(np.float32) for n, a in half.items()}
    found = to_tensors(SMALL, nnx.state(load_dit(path, heads=3)[0], nnx.Param))
    for name in set(tensors) - {"pos_embed"}:
        assert np.array_equal(found[name], rounded[name].astype(np.float32)), name
    other = tensors["pos_embed"].copy()
    other[0, 3, 5] += 0.005  # of somebody's own table
    half["pos_embed"] = torch_writing.bfloat16_bits(other) if bits else other.astype(dtype)
    path.write_bytes(torch_writing.torch_bytes(half))
    with pytest.raises(WeightsError, match="pos_embed is not the fixed position table"):
        load_dit(path, heads=3)


def test_bfloat16_in_safetensors_is_read_whoever_was_imported_before(tmp_path):
    values = np.array([1.0, -2.5, 3.140625], np.float32)
    header = json.dumps({"w": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}).encode()
    content = len(header).to_bytes(8, "little") + header + (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    (tmp_path / "w.safetensors").write_bytes(content)
    assert np.array_equal(read_weights(tmp_path / "w.safetensors")["w"], values)
    (tmp_path / "w.safetensors").write_bytes(content.replace(b'"BF16"', b'"F8_E4M3"').replace(b"[0, 6]", b"[0, 3]"))
    with pytest.raises(WeightsError, match=r"not a readable safetensors file|w is F8_E4M3"):
        read_weights(tmp_path / "w.safetensors")


def header_of(**changes):
    said = {"kind": "dit", "config": asdict(SMALL), "source": "mine.pt", "source_sha256": "ab" * 32} | changes
    return {"dit_grid": json.dumps({name: value for name, value in said.items() if value is not None})}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"dit_grid": "no JSON"}, "its header is not JSON"),
        ({"dit_grid": "[1]"}, "lacks fields or has others"),
        (header_of(config=None), "lacks fields or has others"),
        (header_of(more=1), "lacks fields or has others"),
        (header_of(config=[1]), r"header is damaged \(config\)"),
        (header_of(kind="unet"), "header is damaged"),
        (header_of(source="a\x1b[2Jb"), r"header is damaged \(source\)"),
        (header_of(source_sha256="../../elsewhere/x"), r"source_sha256 '\.\./\.\./elsewhere/x'"),
        (header_of(kind="vae", config={}), "its header says vae, its tensors are the dit network"),
        (header_of(config=asdict(SMALL) | {"depth": 10**9}), "depth is larger than"),
        (header_of(config=asdict(SMALL) | {"depth": 2**20}), r"holds [\d,]+ numbers, not the"),
        (header_of(config=asdict(SMALL) | {"image_size": 2**20}), "patches a side"),
        (header_of(config=asdict(SMALL) | {"heads": 7}), "its header is no network: width 48 is not a multiple of"),
        (header_of(config={"width": 3}), "its header is no network"),
    ],
)
def test_a_header_is_data_and_a_bad_one_is_refused_in_a_line(tmp_path, metadata, words):
    save_file(dit_tensors(), tmp_path / "x.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=words) as caught:
        import_weights(tmp_path / "x.safetensors", tmp_path / "out" / "weights")
    assert type(caught.value).__module__.startswith("dit_grid.")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.safetensors"]


def test_the_hash_that_is_printed_is_of_what_was_read_whatever_a_header_says(tmp_path):
    """And the name of the copy follows from it: nothing in a file chooses where something is written."""
    save_file(dit_tensors(), tmp_path / "x.safetensors", metadata=header_of(source="../../y"))
    imported = import_weights(tmp_path / "x.safetensors", tmp_path / "weights")
    assert imported.sha256 == file_sha256(tmp_path / "x.safetensors")
    assert [Path(imported.written)] == list((tmp_path / "weights").iterdir())
    assert imported.claims == f"../../y, SHA-256 {'ab' * 32}"
