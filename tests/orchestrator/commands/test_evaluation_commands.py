"""encode, import-weights, sample and evaluate as a user types them, on files with names and shapes of published ones.

The networks are small where a file says its sizes, so that the whole path runs here; the FID network is full size.
"""

import functools
import json
import signal
import sys
import zlib

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from safetensors.numpy import save_file

from dit_grid.experiments.data import remote
from dit_grid.experiments.data.latents import LatentFolder
from dit_grid.experiments.evaluation import evaluation
from dit_grid.experiments.evaluation.partial_state import PartialEvaluation
from dit_grid.experiments.networks.autoencoder import VAEConfig
from dit_grid.experiments.networks.autoencoder_weights import tensor_shapes as vae_shapes
from dit_grid.experiments.networks.inception_weights import tensor_shapes as inception_shapes
from dit_grid.experiments.networks.weight_files import file_sha256
from dit_grid.experiments.running import later_evaluation
from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.files import open_files
from dit_grid.experiments.store.partials import partials_of
from dit_grid.experiments.training.checkpoints import Checkpoints
from dit_grid.experiments.training.update import Program
from dit_grid.model import DiT, DiTConfig
from dit_grid.model.weights import to_tensors
from dit_grid.orchestrator.commands import cli
from dit_grid.orchestrator.commands.where import runs_matching
from dit_grid.orchestrator.planning.work import record_runs

DIT = DiTConfig(4, 2, 48, 2, 3, classes=3)
VAE = VAEConfig(widths=(16, 32, 32, 32), layers=1, groups=8)
VAE_JSON = {"block_out_channels": [16, 32, 32, 32], "layers_per_block": 1, "norm_num_groups": 8}
SIDE, IMAGES = 32, 8


def recipe(shapes, gain=1.0):
    """Seeded tensors of these names and shapes; norms keep activations in bounds, as in trained networks."""
    found = {}
    for name, shape in shapes.items():
        draw = np.random.default_rng(zlib.crc32(name.encode()))
        spread = np.sqrt(gain / np.prod(shape[1:])) if len(shape) > 1 else 0.1
        centre = 1.0 if name.endswith(("norm1.weight", "norm2.weight", "norm.weight", "bn.weight", "var")) else 0.0
        found[name] = (centre + spread * draw.standard_normal(shape)).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder as a user has it: published weights, images in classes, one of them damaged."""
    root = tmp_path_factory.mktemp("files")
    noise = np.random.default_rng(0).standard_normal
    tensors = to_tensors(DIT, nnx.state(DiT(DIT, nnx.Rngs(0)), nnx.Param))
    tensors |= {n: a + 0.1 * noise(a.shape).astype(np.float32) for n, a in tensors.items() if n != "pos_embed"}
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, root / "DiT.safetensors")
    (root / "sd-vae").mkdir()
    save_file(recipe(vae_shapes(VAE)), root / "sd-vae" / "diffusion_pytorch_model.safetensors")
    (root / "sd-vae" / "config.json").write_text(json.dumps(VAE_JSON | {"in_channels": 3, "latent_channels": 4}))
    save_file(recipe(inception_shapes(), gain=2.0), root / "inception.safetensors")
    pixels = np.random.default_rng(1).integers(0, 256, (IMAGES, 40, 50, 3), dtype=np.uint8)
    for i in range(IMAGES):
        folder = root / "images" / f"class{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[i]).save(folder / f"{i}.png")
    (root / "images" / "class1" / "bad.png").write_text("no image")
    return root


def moved(array):
    return array + 0.1 * np.random.default_rng(array.size).standard_normal(array.shape).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory, miniature_spec):
    """Two runs that are done: untrained weights in their last checkpoints, others in B/4's earlier ones, no rows."""
    spec = load_spec(str(miniature_spec(tmp_path_factory.mktemp("store"))))
    store = Store.create(spec.store)
    record_runs(spec, store)
    for run in spec.networks:
        attempt, checkpoints = store.begin_attempt(run.id, 0), Checkpoints(store, run.id)
        state = Program(run).init()
        if run.model.name == "B/4":
            # Untrained, the last layer is zero and guidance changes nothing.
            checkpoints.save(attempt, 400, state._replace(ema=jax.tree.map(moved, state.ema)))
            checkpoints.save(attempt, 800, state._replace(ema=jax.tree.map(lambda x: x * np.nan, state.ema)))
        checkpoints.save(attempt, 1200, state)
        checkpoints.wait()
        checkpoints.close()
        store.end_attempt(attempt, "done")
    return spec.store


@pytest.fixture
def dit_grid(monkeypatch, capsys):
    """The command line in this process: exit status, and what it printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dit-grid", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capsys.readouterr()

    def succeed(*arguments):
        code, out, err = run(*arguments)
        assert code in (0, None), err
        return json.loads(out) if "--json" in arguments else out

    run.succeed = succeed  # type: ignore[attr-defined]
    return run


def test_published_weights_run_the_whole_path_to_an_fid(files, tmp_path, dit_grid):
    imported = dit_grid.succeed(
        "import-weights", files / "DiT.safetensors", files / "sd-vae" / "diffusion_pytorch_model.safetensors",
        files / "inception.safetensors", "--heads", 3, "-o", tmp_path / "weights", "--json",
    )  # fmt: skip
    dit, vae, inception = (one["written"] for one in imported)
    assert [one["published"] for one in imported] == [None, None, False]

    drawn = dit_grid.succeed(
        "sample", "--weights", dit, "--vae", vae, "--guidance", 1.5, "--steps", 5, "--npz", tmp_path / "samples.npz",
        "--count", 8, "--json",
    )[0]  # fmt: skip
    assert (drawn["sampler"], drawn["guidance_channels"], drawn["labels"]) == ("ddpm", 3, "uniform")
    with np.load(tmp_path / "samples.npz") as arrays:
        assert (arrays["arr_0"].shape, arrays["arr_0"].dtype) == ((8, SIDE, SIDE, 3), np.uint8)

    (files / "images" / "class1" / "bad.png").rename(tmp_path / "bad.png")
    reference = tmp_path / "reference.npz"
    made = dit_grid.succeed(
        "evaluate", files / "images", "--make-reference", "--image-size", SIDE, "--features", inception,
        "-o", reference, "--json",
    )  # fmt: skip
    (tmp_path / "bad.png").rename(files / "images" / "class1" / "bad.png")
    assert (made["images"], made["image_size"], made["crop"]) == (IMAGES, [SIDE, SIDE], "adm center crop 32")

    code, out, err = dit_grid(
        "evaluate", tmp_path / "samples.npz", "--reference", reference, "--features", inception, "--json"
    )
    assert code in (0, None), err
    scores = {row["metric"]: row["value"] for row in json.loads(out)}
    assert scores.keys() == {"fid", "sfid", "inception_score", "precision", "recall", "kid"}
    assert scores["fid"] > 0
    assert err.count("8 samples for 2048 features: their covariance is singular") == 1
    assert "Traceback" not in err

    # The copy counts as the file that it was imported from; a reference of another size is refused before any work.
    assert file_sha256(files / "inception.safetensors") == made["features_sha256"]
    with np.load(reference) as arrays:
        held = dict(arrays)
    held["dit_grid_provenance"] = np.array(str(held["dit_grid_provenance"]).replace("[32, 32]", "[64, 64]"))
    np.savez(tmp_path / "other.npz", **held)
    code, _, err = dit_grid(
        "evaluate", tmp_path / "samples.npz", "--reference", tmp_path / "other.npz", "--features", inception
    )
    assert code == 2
    assert "image_size is (32, 32) for the samples, (64, 64) for the reference" in err


def test_encode_makes_latents_that_train_and_goes_on_where_it_stopped(files, tmp_path, dit_grid):
    command = ["encode", files / "images", "--vae", files / "sd-vae" / "diffusion_pytorch_model.safetensors"]
    command += ["--image-size", SIDE, "--shard-images", 4, "--batch", 4, "-o", tmp_path / "latents", "--json"]
    first = dit_grid.succeed(*command, "--host", "1/2")
    assert (first["complete"], first["encoded_now"]) == (False, 3)  # the fourth is damaged
    second = dit_grid.succeed(*command)
    assert (second["complete"], second["images"], second["encoded_now"]) == (True, IMAGES, IMAGES - 3)
    assert [name for name, _ in second["skipped"]] == ["class1/bad.png"]
    assert dit_grid.succeed(*command)["encoded_now"] == 0
    assert LatentFolder("few", tmp_path / "latents").shape == (4, 4, 4)
    code, _, err = dit_grid(*command, "--image-size", "64")
    assert (code, "encoded differently: image_size is 32 there and 64 now" in err) == (2, True)


def test_guidance_acts_in_its_interval_alone_and_rows_say_where(store, dit_grid):
    def scored(*options):
        command = ["evaluate", "B/4", "--where", store, "--step", 400, "--samples", 40, "--steps", 5]
        return dit_grid.succeed(*command, "--metrics", "fd_conv", "--json", *options)[0]

    unguided, everywhere = scored(), scored("--guidance", 4)
    nowhere = scored("--guidance", 4, "--guidance-interval", 5000, 6000)
    partly = scored("--guidance", 4, "--guidance-interval", 0, 300)
    assert nowhere["value"] == pytest.approx(unguided["value"], rel=1e-5)
    assert len({round(row["value"], 6) for row in (unguided, everywhere, partly)}) == 3
    assert partly["sampler"] == everywhere["sampler"] + "(guided at 0-300)"
    assert len({row["protocol"] for row in (unguided, everywhere, nowhere, partly)}) == 4
    code, _, err = dit_grid("evaluate", "B/4", "--where", store, "--guidance-interval", 20, 0)
    assert (code, "20 to 0: give the lowest timestep" in err) == (2, True)


def test_encode_into_a_bucket_makes_what_a_folder_gets(files, tmp_path, dit_grid, bucket):
    command = ["encode", files / "images", "--vae", files / "sd-vae" / "diffusion_pytorch_model.safetensors"]
    command += ["--image-size", SIDE, "--shard-images", 4, "--batch", 4, "--json", "-o"]
    place = "gs://bucket/encoded"
    first = dit_grid.succeed(*command, place, "--host", "1/2")
    assert (first["complete"], first["encoded_now"]) == (False, 3)
    second, local = dit_grid.succeed(*command, place), dit_grid.succeed(*command, tmp_path / "latents")
    assert (second["complete"], second["images"], second["encoded_now"]) == (True, IMAGES, IMAGES - 3)
    assert second["skipped"] == local["skipped"]
    remote, disk = (open_files(str(where)) for where in (place, tmp_path / "latents"))
    names = sorted(name.rpartition("/")[2] for name in remote.sizes(""))
    assert names == sorted(path.name for path in (tmp_path / "latents").iterdir())
    assert all(remote.read(name) == disk.read(name) for name in names)
    code, _, err = dit_grid(*command, place, "--image-size", "64")
    assert (code, "encoded differently: image_size is 32 there and 64 now" in err) == (2, True)


def test_a_run_measured_by_hand_goes_on_where_the_process_was_killed(store, monkeypatch):
    monkeypatch.setattr(evaluation, "SAMPLE_BATCH", 16)
    often = functools.partial(PartialEvaluation, every_s=0.0)
    monkeypatch.setattr(later_evaluation, "PartialEvaluation", often)
    opened = Store.open(store)
    (run_id,) = runs_matching(opened, ["B/4"])
    settings = (EvalSetting(metrics=("fd_conv", "accuracy"), samples=70, sampler="ddim", steps=3),)

    def values():
        return [(row["metric"], row["value"]) for row in later_evaluation.measure(opened, run_id, 400, settings, {})]

    whole, honest, starts = values(), evaluation.Evaluation._chunks, []

    def cut(self, params, setting, start):
        starts.append(start)
        for place, chunk in enumerate(honest(self, params, setting, start)):
            if len(starts) == 1 and place == 3:
                raise KeyboardInterrupt
            yield chunk

    monkeypatch.setattr(evaluation.Evaluation, "_chunks", cut)
    with pytest.raises(KeyboardInterrupt):
        values()
    assert len(partials_of(opened.files, run_id)) == 2
    assert (values(), starts) == (whole, [0, 48])
    assert partials_of(opened.files, run_id) == []


def test_ctrl_c_keeps_what_is_measured_and_the_same_command_goes_on(store, dit_grid, monkeypatch):
    monkeypatch.setattr(evaluation, "SAMPLE_BATCH", 16)
    request = ("evaluate", "B/4", "--where", store, "--step", "400", "--samples", "70", "--steps", "3", "--json")
    whole, honest, starts = dit_grid.succeed(*request), evaluation.Evaluation._chunks, []

    def pressed(self, params, setting, start):
        starts.append(start)
        for chunk in honest(self, params, setting, start):
            if len(starts) == 1:
                signal.raise_signal(signal.SIGINT)
                monkeypatch.setattr(evaluation.Evaluation, "_chunks", counted)
            yield chunk

    def counted(self, params, setting, start):
        starts.append(start)
        return honest(self, params, setting, start)

    monkeypatch.setattr(evaluation.Evaluation, "_chunks", pressed)
    code, out, err = dit_grid(*request)
    assert (code, out) == (130, "")
    assert "what is done is kept" in err

    def values(rows):
        return [(row["metric"], row["value"]) for row in rows]

    assert values(dit_grid.succeed(*request)) == values(whole)
    assert starts == [0, 16]


@pytest.fixture
def cloud(bucket, monkeypatch, tmp_path):
    """The emulated bucket, for the files that a user names as well."""
    monkeypatch.setenv("DIT_GRID_CACHE", str(tmp_path / "cache"))
    remote._filesystem.cache_clear()
    yield "gs://bucket"
    remote._filesystem.cache_clear()


def test_samples_and_sheets_go_to_a_bucket_and_are_scored_there(store, tmp_path, dit_grid, cloud):
    command = ["sample", "S/4", "--where", store, "--count", 300, "--steps", 2, "--json", "--npz"]
    place, local = f"{cloud}/drawn/samples.npz", tmp_path / "samples.npz"
    assert not dit_grid.succeed(*command, place, "--host", "1/2")[0]["complete"]
    assert dit_grid.succeed(*command, place)[0] == {**dit_grid.succeed(*command, local)[0], "file": place}
    there = open_files(f"{cloud}/drawn")
    assert there.read("samples.npz") == local.read_bytes()
    assert [name.rpartition("/")[2] for name in there.sizes("")] == ["samples.npz"], "its parts are gone"
    assert dit_grid.succeed(*command, place)[0]["complete"]
    code, _, err = dit_grid(*command, place, "--seed", 5)
    assert (code, f"{place}: is there already, made otherwise: seed is 0 there and 5 now" in err) == (2, True)

    scores = [[(row["metric"], row["value"]) for row in dit_grid.succeed("evaluate", path, "--json")]
              for path in (place, local)]  # fmt: skip
    assert scores[0] == scores[1]
    sheet = ["sample", "S/4", "--where", store, "--classes", "0-1", "--seeds", 2, "--steps", 2, "--json", "-o"]
    written = dit_grid.succeed(*sheet, f"{cloud}/sheets")[0]["file"]
    assert written.startswith(f"{cloud}/sheets/s-4-")
    dit_grid.succeed(*sheet, tmp_path / "one.png")
    assert open_files(f"{cloud}/sheets").read(written.rpartition("/")[2]) == (tmp_path / "one.png").read_bytes()
    assert dit_grid.succeed(*sheet, f"{cloud}/one.png")[0]["file"] == f"{cloud}/one.png"


def test_a_reference_in_a_bucket_is_that_of_a_disk(tmp_path, dit_grid, cloud, monkeypatch):
    (tmp_path / "coarse_features.py").write_text(
        "from dit_grid.experiments.metrics.image_scores import FeatureNetwork\n"
        "def make(path):\n"
        "    extract = lambda x: {'pool': x.reshape(len(x), -1)[:, ::24] / 128 - 1}\n"
        "    return FeatureNetwork('coarse', 'ab' * 32, 'none', extract)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    draws = np.random.default_rng(0)
    for name in ("real", "drawn"):
        np.savez(tmp_path / f"{name}.npz", draws.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8))
        open_files(cloud).create(f"{name}.npz", (tmp_path / f"{name}.npz").read_bytes())

    def both(command):
        places = {"disk": str(tmp_path), "cloud": cloud}
        return [dit_grid.succeed(*(part.format(place) for part in command)) for place in places.values()]

    features = ["--features", "coarse_features:make", "--json"]
    disk, bucket = both(["evaluate", "{}/real.npz", "--make-reference", "-o", "{}/ref.npz", *features])
    assert bucket == disk | {"reference": f"{cloud}/ref.npz"}
    assert open_files(cloud).read("ref.npz") == (tmp_path / "ref.npz").read_bytes()
    disk, bucket = both(["evaluate", "{}/drawn.npz", "--reference", "{}/ref.npz", *features])
    assert {row["metric"] for row in disk} == {"fd", "precision", "recall", "kid"}
    assert bucket == disk
    for target, message in (("none.npz", "none.npz: no such file"), ("images", "copy a folder to a disk first")):
        code, _, err = dit_grid("evaluate", f"{cloud}/{target}", *features)
        assert (code, message in err, len(err.splitlines())) == (2, True, 1)
    code, _, err = dit_grid("evaluate", tmp_path / "real.npz", "--make-reference", "-o", "gs://none/ref.npz", *features)
    assert (code, "gs://none/ref.npz: there is no such bucket" in err) == (2, True)


def test_a_file_that_is_replaced_in_a_bucket_is_read_anew(cloud):
    files = open_files(cloud)
    for content in (b"old", b"new"):
        files.delete("ref.npz")
        files.create("ref.npz", content)
        assert remote.local_copy(f"{cloud}/ref.npz").read_bytes() == content


def test_a_file_too_large_for_one_request_reaches_the_bucket_whole(cloud):
    content = np.random.default_rng(0).bytes(6 * 2**20)
    with remote.saved(f"{cloud}/large.npz") as path:
        path.write_bytes(content)
    assert open_files(cloud).read("large.npz") == content

    def stopped():
        with remote.saved(f"{cloud}/half.npz") as path:
            path.write_bytes(content[:100])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert "half.npz" not in open_files(cloud).sizes("")
    with remote.opened(f"{cloud}/large.npz") as file:
        file.seek(5 * 2**20)
        assert file.read(100) == content[5 * 2**20 :][:100]


def sheet_pixels(path):
    with Image.open(path) as image:
        made = json.loads(image.text["dit-grid"])  # type: ignore[attr-defined]
        return np.asarray(image.convert("L"))[:-40], made  # without the caption, which names the model


def test_sheets_of_all_runs_share_their_noise(store, tmp_path, dit_grid, monkeypatch):
    """Networks that were not trained predict no noise, so what they draw is their noise alone."""
    monkeypatch.setattr(Program, "init", None)  # nor is anything initialized to read a checkpoint
    dit_grid.succeed("sample", "*", "--where", store, "--classes", "0,2-3", "--seeds", 4, "-o", tmp_path)
    found = [sheet_pixels(path) for path in sorted(tmp_path.glob("*.png"))]
    assert len(found) == 2
    (first, made), (second, _) = found
    assert np.array_equal(first, second)
    assert (made["classes"], made["seeds"], made["step"], made["sampler"]) == ([0, 2, 3], 4, 1200, "ddim")
    assert len(np.unique(first)) > 20


def test_samples_of_a_run_are_scored_as_the_run_is(store, tmp_path, dit_grid):
    path = tmp_path / "samples.npz"
    dit_grid.succeed("sample", "S/4", "--where", store, "--npz", path, "--count", 100)
    from_file = {row["metric"]: row["value"] for row in dit_grid.succeed("evaluate", path, "--json")}
    rows = dit_grid.succeed("evaluate", "S/4", "--where", store, "--json")
    from_run = {row["metric"]: row["value"] for row in rows}
    assert from_run.keys() == {"fd_conv", "accuracy", "heldout_loss"}
    # Eight bits a pixel lie between the samples and the 17 levels of ink that digits are scored in.
    assert from_file["fd_conv"] == pytest.approx(from_run["fd_conv"], rel=0.02)
    assert from_file["accuracy"] == pytest.approx(from_run["accuracy"], abs=0.02)


def test_recorded_rows_count_once_and_only_finished_runs_take_them(store, dit_grid):
    command = ["evaluate", "B/4", "--where", store, "--guidance", 2, "--samples", 70, "--record", "--json"]
    first = dit_grid.succeed(*command)
    assert dit_grid.succeed(*command) == [row | {"seconds": pytest.approx(row["seconds"], abs=1e9)} | {
        name: pytest.approx(value, abs=1e9) for name, value in row.items() if name.endswith("_s")
    } for row in first]  # fmt: skip
    opened = Store.open(store)
    run_id = first[0]["run"]
    rows = opened.evals([run_id]).to_pylist()
    assert {(row["metric"], row["guidance"], row["samples"]) for row in rows} == {
        ("fd_conv", 2.0, 70),
        ("accuracy", 2.0, 70),
    }
    assert len(rows) == 2
    assert opened.states()[run_id].outcome == "done"
    opened.begin_attempt(run_id, 1200)
    code, _, err = dit_grid(*command)
    assert code == 2
    assert "is not finished, and rows can be added to finished runs only" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode", "{files}/images", "--vae", "none.ckpt", "-o", "x"], "none.ckpt: no such file; the VAE is"),
        (["encode", "{files}/images", "--vae", "{files}/DiT.safetensors", "-o", "x"], "not this AutoencoderKL"),
        (["encode", "{files}/none", "--vae", "{vae}", "-o", "x"], "none: no such folder"),
        (["encode", "{files}", "--vae", "{vae}", "-o", "x"], "class folders without an image: sd-vae"),
        (["encode", "{files}/images", "--vae", "{vae}", "-o", "x", "--image-size", "30"], "a multiple of 8"),
        (["encode", "{files}/images", "--vae", "{vae}", "-o", "x", "--host", "2/2"], "give I/N with 0 <= I < N"),
        (["encode", "{files}/images", "--vae", "{vae}", "-o", "s3://x"], "only a local path or a gs:// URL"),
        (["import-weights", "none.pt"], "none.pt: no such file; published are: DiT-XL-2-256x256.pt"),
        (["import-weights", "{files}/DiT.safetensors"], "none of the paper's"),
        (["import-weights", "{files}/sd-vae/config.json"], "not a PyTorch zip checkpoint"),
        (["sample"], "name a RUN of the store, e.g. XL/2, or give a file of weights"),
        (["sample", "XL/2", "--where", "{store}"], "no run matches 'XL/2'"),
        (["sample", "S/4", "--where", "{store}", "--step", "7"], "no checkpoint at step 7; there are some at 1,200"),
        (["sample", "B/4", "--where", "{store}", "--step", "800"], "80 of 80 samples hold NaN or infinity; did the"),
        (["sample", "S/4", "--where", "{store}", "--classes", "8-10"], "--classes 8-10: allowed are 0 to 9"),
        (["sample", "S/4", "--where", "{store}", "--vae", "{vae}"], "are images already; leave --vae out"),
        (["sample", "S/4", "--where", "{store}", "--count", "5"], "are of --npz FILE"),
        (["sample", "*", "--where", "{store}", "--npz", "x.npz"], "--npz takes one run, not 2"),
        (["evaluate"], "name what to score"),
        (["evaluate", "none.npz"], "none.npz: no such file or folder"),
        (["evaluate", "{rgb}"], "add --features FILE, the FID network: pt_inception-2015-12-05-6726825d.pth"),
        (["evaluate", "{rgb}", "--features", "none.pth"], "none.pth: no such file; the FID network is pt_inception"),
        (["evaluate", "{rgb}", "--features", "{files}/DiT.safetensors"], "not the FID network: 472 tensors missing"),
        (["evaluate", "{rgb}", "--features", "digits"], "images (8, 8, 3); digits are (8, 8, 1)"),
        (["evaluate", "{rgb}", "--samples", "5"], "--samples: of a RUN alone"),
        (["evaluate", "{files}/images", "--make-reference", "--features", "x.pth"], "name the file for the reference"),
        (["evaluate", "S/4", "--where", "{store}", "--metrics", "fdi"], "no metric 'fdi'"),
        (["evaluate", "S/4", "--where", "{store}", "--steps", "2000"], "sampler steps 2000: "),
        (["sample", "S/4", "--where", "{store}", "--steps", "2000"], "sampler steps 2000: "),
        (["evaluate", "{torn}", "--features", "x"], "not a complete .npz file"),
        (["evaluate", "{floats}", "--features", "digits"], "arr_0 is float64 (4, 8, 8, 3); expected uint8"),
        (["evaluate", "{folder}/sizes", "--features", "digits"], "b.png: 8 x 8 pixels, but images before it have 6 x"),
        (
            ["evaluate", "{folder}/modes", "--features", "digits"],
            "b.png: mode L, but images before it are RGB; convert",
        ),
        (["evaluate", "{folder}/classes", "--features", "digits"], "1 class folders without an image: empty"),
        (["evaluate", "B/4", "--where", "{store}", "--step", "800"], "samples hold NaN or infinity; did the training"),
        (["evaluate", "{rgb}", "--features", "{folder}/torn.safetensors"], "torn.safetensors: not a readable safetens"),
        (["evaluate", "{rgb}", "--features", "{inception}", "--reference", "none.npz"], "none.npz: no such file"),
        (["evaluate", "{rgb}", "--features", "{inception}", "--reference", "{rgb}"], "expected mu and sigma"),
        (["import-weights", "{files}/nan.safetensors"], "1 tensors hold NaN or infinity (pos_embed); is it damaged?"),
    ],
)
def test_a_request_that_is_wrong_ends_in_a_line_and_status_2(files, store, tmp_path, dit_grid, arguments, message):
    np.savez(tmp_path / "rgb.npz", np.zeros((4, 8, 8, 3), np.uint8))
    (tmp_path / "torn.npz").write_bytes((tmp_path / "rgb.npz").read_bytes()[:-9])
    save_file({"pos_embed": np.full(2, np.nan, np.float32)}, files / "nan.safetensors")
    np.savez(tmp_path / "floats.npz", np.full((4, 8, 8, 3), np.nan))
    for name, size, mode in (("sizes/a", (6, 4), "RGB"), ("sizes/b", (8, 8), "RGB"), ("modes/a", (6, 4), "RGB"),
                             ("modes/b", (6, 4), "L"), ("classes/full/a", (6, 4), "RGB")):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size).save(tmp_path / f"{name}.png")
    (tmp_path / "classes" / "empty").mkdir()
    (tmp_path / "torn.safetensors").write_bytes((files / "DiT.safetensors").read_bytes()[:5000])
    vae = files / "sd-vae" / "diffusion_pytorch_model.safetensors"
    places = {"floats": tmp_path / "floats.npz", "folder": tmp_path, "inception": files / "inception.safetensors"}
    places |= {"files": files, "store": store, "vae": vae, "rgb": tmp_path / "rgb.npz"}
    places["torn"] = tmp_path / "torn.npz"
    code, _, err = dit_grid(*(argument.format(**places) for argument in arguments))
    assert code == 2, err
    (line,) = [line for line in err.strip().splitlines() if not line.startswith("warning: ")]
    assert message in line
