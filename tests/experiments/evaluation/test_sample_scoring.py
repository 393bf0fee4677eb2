"""Evaluation inside a run, from latents and from images: every score of every setting is that of its own samples."""

import importlib

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.encode import encode_shards, encoding_of, finish
from dit_grid.experiments.data.image_arrays import to_uint8
from dit_grid.experiments.data.image_folder import list_images
from dit_grid.experiments.data.latent_shards import Making
from dit_grid.experiments.data.registry import dataset_named
from dit_grid.experiments.evaluation.evaluation import Evaluation
from dit_grid.experiments.metrics.frechet import frechet_distance
from dit_grid.experiments.metrics.image_scores import collect
from dit_grid.experiments.metrics.reference import write_reference
from dit_grid.experiments.networks import inception_weights
from dit_grid.experiments.networks.autoencoder import VAEConfig, compiled_decode
from dit_grid.experiments.networks.autoencoder_weights import load_vae, tensor_shapes
from dit_grid.experiments.networks.weight_files import file_sha256
from dit_grid.experiments.running.training_run import train
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.files import open_files
from dit_grid.experiments.training.checkpoints import Checkpoints
from dit_grid.experiments.training.context import Context
from dit_grid.experiments.training.kept_programs import program_of
from dit_grid.experiments.training.update import Program

TINY = VAEConfig(widths=(16, 32, 32, 32), layers=1, groups=8)
CONFIG = (
    '{"block_out_channels": [16, 32, 32, 32], "layers_per_block": 1, "norm_num_groups": 8, "in_channels": 3, '
    '"latent_channels": 4}'
)
NETWORK = '''
"""A feature network of a user's own: twelve averages of each image, mixed by weights from a file."""
import numpy as np
from dit_grid.experiments.networks.features import FeatureNetwork
from dit_grid.experiments.networks.weight_files import file_sha256

def make(path):
    mix = np.load(path)

    def extract(images):
        n, side = len(images), images.shape[1] // 2
        quarters = images.reshape(n, 2, side, 2, side, 3).mean(axis=(2, 4)).reshape(n, 12) / 128 - 1
        pool = np.maximum(quarters @ mix, 0)
        return {"pool": pool, "spatial": pool[:, :5]}

    return FeatureNetwork("inception", file_sha256(path), "quarters", extract, classify=lambda rows: 3 * rows)
'''
SAMPLES = 40
METRICS = ["fid", "sfid", "inception_score", "precision", "recall", "density", "coverage", "kid", "cmmd"]


def encode(images):
    """A stand-in for the VAE's encoder, whose latents need not mean anything here."""
    mean = images.reshape(len(images), 2, 8, 2, 8, 3).mean(axis=(2, 4))
    mean = np.concatenate([mean, mean[..., :1]], axis=-1)
    return mean, np.full_like(mean, -2)


@pytest.fixture(scope="module")
def made(tmp_path_factory, recipe_weight):
    """Images, latents of them, a VAE, a feature network and a reference, as files of the published form."""
    root = tmp_path_factory.mktemp("made")
    draws = np.random.default_rng(0)
    for i in range(24):
        path = root / "images" / f"class{i % 3}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = draws.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(np.kron(coarse, np.ones((4, 4, 1), np.uint8))).save(path)
    (root / "vae").mkdir()
    tensors = {name: recipe_weight(name, shape, 3, gain=1.0) for name, shape in tensor_shapes(TINY).items()}
    save_file(tensors, root / "vae" / "model.safetensors")
    (root / "vae" / "config.json").write_text(CONFIG)
    listing = list_images(root / "images")
    job, files = encoding_of(listing, Making(16, "adm", "0" * 64), 16), open_files(str(root / "latents"))
    list(encode_shards(listing, job, encode, files, batch=8))
    finish(job, files)
    np.save(root / "mix.npy", draws.standard_normal((12, 8)))
    (root / "my_features.py").write_text(NETWORK)
    return root


@pytest.fixture
def network(made, monkeypatch):
    monkeypatch.syspath_prepend(str(made))
    return importlib.import_module("my_features").make(made / "mix.npy")


@pytest.fixture
def reference(made, network):
    """Statistics of the 24 images and their mirror images, with the features themselves."""
    pixels = np.stack([np.asarray(Image.open(path)) for path in list_images(made / "images").files])
    real = collect(network, [pixels, pixels[:, :, ::-1]], batch=8)
    write_reference(made / "ref.npz", real.gaussian("pool"), real.gaussian("spatial"), real.provenance, rows=real.rows)
    return real


def spec(made, *settings, data="latents", size=2, channels=4, **files):
    common = {"samples": SAMPLES, "sampler": "ddim", "steps": 3, "features": "my_features:make", "reference": "ref"}
    common |= {"decoder": "vae"} if data == "latents" else {}
    places = {"vae": made / "vae" / "model.safetensors", "my_features:make": made / "mix.npy", "ref": made / "ref.npz"}
    model = {"size": "T", "patch": size // 2, "image_size": size, "channels": channels, "classes": 3, "width": 16,
             "depth": 1, "heads": 2}  # fmt: skip
    return RunSpec.model_validate({
        "model": model,
        "data": {"name": data, "path": str(made / data)},
        "train": {"steps": 4, "batch": 8, "log_every": 2, "optimizer": {"learning_rate": 3e-2}, "ema": {"decay": 0.5}},
        "evaluate": {
            "every": 2,
            "settings": [common | setting for setting in settings],
            "files": {name: str(path) for name, path in (places | files).items()},
        },
        "execution": {"checkpoint_every": 2},
    })  # fmt: skip


def rows_of(run, path):
    store = Store.create(str(path))
    assert train(run, Context(store)).kind == "done"
    return store, store.evals().to_pylist()


def test_latents_are_scored_as_decoded_images_in_every_setting(made, network, reference, tmp_path):
    """Figure 10 in small: every setting's scores are those of its own samples, computed here without the pipeline."""
    settings = [
        {"metrics": METRICS},
        {"metrics": ["fid", "heldout_loss"], "guidance": 3.0, "labels": "uniform"},
        {"metrics": ["fid"], "steps": 5, "weights": "raw", "when": "end"},
    ]
    run = spec(made, *settings)
    run = run.model_copy(update={"data": run.data.model_copy(update={"heldout": 4})})
    store, rows = rows_of(run, tmp_path / "store")

    assert sorted({row["metric"] for row in rows}) == sorted([*METRICS, "heldout_loss"])
    fids = {(r["step"], r["guidance"], r["sampler_steps"], r["weights"]): r for r in rows if r["metric"] == "fid"}
    assert sorted(fids) == [(2, 1, 3, "ema"), (2, 3, 3, "ema"), (4, 1, 3, "ema"), (4, 1, 5, "raw"), (4, 3, 3, "ema")]
    assert len({row["value"] for row in fids.values()}) == 5

    program, data = program_of(run), dataset_named("latents", str(made / "latents"), heldout=4)
    state = Checkpoints(store, run.id).restore(1, 4, program.state_shapes())
    evaluation = Evaluation(run, program, data)
    again = [(row["metric"], row["protocol"], row["value"]) for row in evaluation.rows(4, state)]
    assert sorted(again) == sorted((r["metric"], r["protocol"], r["value"]) for r in rows if r["step"] == 4)

    decode = compiled_decode(load_vae(made / "vae" / "model.safetensors"))
    for place, weights, key in ((1, state.ema, (4, 3, 3, "ema")), (2, state.params, (4, 1, 5, "raw"))):
        samples, labels = evaluation.samples(weights, run.evaluate.settings[place])
        assert set(labels) == {0, 1, 2}
        found = network.extract(to_uint8(decode(samples)))["pool"]
        distance = frechet_distance(found.mean(axis=0), np.cov(found, rowvar=False), *reference.gaussian("pool"))
        # Decoding all at once rounds otherwise than in batches, and a pixel in a thousand then differs by a grey level.
        assert fids[key]["value"] == pytest.approx(distance.value, rel=1e-4)

    row = fids[4, 3, 3, "ema"]
    assert row["reference_sha256"] == file_sha256(made / "ref.npz")
    assert row["decoder_sha256"] == file_sha256(made / "vae" / "model.safetensors")
    assert row["features_sha256"] == file_sha256(made / "mix.npy")
    assert (row["labels"], row["samples"], row["decoder"], row["reference"]) == ("uniform", SAMPLES, "vae", "ref")
    parts = [row[f"{part}_s"] for part in ("sampling", "decoding", "features", "statistics")]
    assert min(parts) > 0
    assert sum(parts) <= row["seconds"] * 1.001


def test_images_are_scored_without_a_decoder(made, network, reference, tmp_path):
    run = spec(made, {"metrics": ["fid", "recall"]}, data="images", size=16, channels=3)
    store, rows = rows_of(run, tmp_path / "store")
    assert {(row["step"], row["metric"], row["decoder"]) for row in rows} == {
        (step, metric, "") for step in (2, 4) for metric in ("fid", "recall")
    }
    assert rows[0]["decoder_sha256"] is None
    assert store.attempts(run.id)[0].start["dataset_sha256"] == dataset_named("i", str(made / "images"), 16).fingerprint


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"metrics": ["fids"]}, r"no metric 'fids' for latents \(did you mean 'fid'\?\); known: heldout_loss, fid"),
        ({"metrics": ["fid"], "decoder": None}, "fid: samples are latents; name the autoencoder"),
        ({"metrics": ["fid"], "decoder": "other"}, "'other' has no file; say where it lies"),
        ({"metrics": ["kid"], "reference": None}, "kid: the setting names no reference"),
        ({"metrics": ["fid"], "features": "clip"}, "'clip' has no file"),
        ({"metrics": ["heldout_loss"]}, "heldout_loss: latents holds out no image; set data.heldout"),
    ],
)
def test_a_setting_that_cannot_be_measured_is_refused_before_anything_runs(made, network, reference, setting, message):
    run = spec(made, setting)
    with pytest.raises(DataError, match=message):
        Evaluation(run, Program(run), dataset_named("latents", str(made / "latents")))


def test_a_reference_of_another_network_is_refused_before_anything_runs(made, network, reference, tmp_path):
    np.save(tmp_path / "other.npy", np.ones((12, 8)))
    run = spec(made, {"metrics": ["fid"]}, **{"my_features:make": tmp_path / "other.npy"})
    with pytest.raises(ValueError, match=r"features_sha256 is .* for the samples, .* for the reference"):
        Evaluation(run, Program(run), dataset_named("latents", str(made / "latents")))


def test_places_are_no_part_of_a_runs_id_and_names_are(made):
    run = spec(made, {"metrics": ["fid"]})
    assert spec(made, {"metrics": ["fid"]}, vae="elsewhere").id == run.id
    assert spec(made, {"metrics": ["fid"], "reference": "other"}).id != run.id


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*not 6726825d", "ignore:.*covariance is singular")
def test_files_of_the_published_names_and_sizes_go_the_whole_way(made, recipe_weight, tmp_path):
    """The 84 M VAE, the 24 M FID network and a reference in ADM's form, of recipe weights: the paper's metrics."""
    vae = {name: recipe_weight(name, shape, 3, gain=1.0) for name, shape in tensor_shapes(VAEConfig()).items()}
    shapes = inception_weights.tensor_shapes()
    inception = {name: recipe_weight(name, shape, 3, gain=2.0) for name, shape in shapes.items()}
    save_file(vae, tmp_path / "diffusion_pytorch_model.safetensors")
    save_file(inception, tmp_path / "inception.safetensors")
    network = inception_weights.load_inception(tmp_path / "inception.safetensors")
    images = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), dtype=np.uint8)
    real = collect(network, [images], batch=8)
    pool, spatial = real.gaussian("pool"), real.gaussian("spatial")
    np.savez(tmp_path / "adm.npz", arr_0=images, mu=pool.mean, sigma=pool.covariance, mu_s=spatial.mean,
             sigma_s=spatial.covariance)  # fmt: skip
    asked = ["fid", "sfid", "is", "precision", "recall", "kid"]
    run = spec(
        made, {"metrics": asked, "samples": 12, "features": "inception", "reference": "adm", "when": "end"},
        vae=tmp_path / "diffusion_pytorch_model.safetensors", inception=tmp_path / "inception.safetensors",
        adm=tmp_path / "adm.npz",
    )  # fmt: skip
    _, rows = rows_of(run, tmp_path / "store")
    found = {row["metric"]: row["value"] for row in rows}
    assert sorted(found) == sorted(asked)
    assert np.isfinite(list(found.values())).all()
    assert found["fid"] > 0
    assert 1 <= found["is"] <= 12
    assert 0 <= min(found["precision"], found["recall"]) <= max(found["precision"], found["recall"]) <= 1
