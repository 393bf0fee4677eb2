"""Each readable image is encoded once, whatever is interrupted or shared; latents then train like any dataset."""

import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from dit_grid.experiments.data import latent_files
from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.encode import encode_shards, encoding_of, finish
from dit_grid.experiments.data.image_folder import list_images
from dit_grid.experiments.data.latent_shards import (
    LATENT_SCALE,
    Making,
    begin,
    damaged_shards,
    labels_path,
    moments_path,
    read_manifest,
    record_path,
)
from dit_grid.experiments.data.latents import LatentFolder
from dit_grid.experiments.data.registry import dataset_named
from dit_grid.experiments.store.files import open_files

MAKING = Making(image_size=16, preparation="adm center crop", vae_sha256="ab" * 32)
SPREAD = np.float32(0.5)
IMAGES = 11


def encode(images):
    """A stand-in for the VAE: averages of 8 × 8 pixels, in four channels, with a known spread."""
    mean = images.reshape(len(images), 2, 8, 2, 8, 3).mean(axis=(2, 4))
    mean = np.concatenate([mean, mean[..., :1]], axis=-1)
    return mean, np.full_like(mean, 2 * np.log(SPREAD))


@pytest.fixture
def listing(tmp_path):
    """Image i is brighter than all before it, and brighter on its right."""
    for i in range(IMAGES):
        folder = tmp_path / "images" / ("ant" if i < 4 else "bee")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.full((16, 16, 3), 20 * i, np.uint8)
        pixels[:, 8:] += 5
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return list_images(tmp_path / "images")


def run(listing, output, encode=encode, **settings):
    return list(encode_shards(listing, job(listing), encode, open_files(str(output)), batch=2, **settings))


def job(listing, making=MAKING, shard_images=3):
    return encoding_of(listing, making, shard_images)


def finished(listing, output):
    return finish(job(listing), open_files(str(output)))


def encoded(listing, output):
    run(listing, output)
    assert finished(listing, output) is not None
    return output


def brightness(batch):
    return np.rint((batch.images[:, 0, 0, 0] / LATENT_SCALE + 1) * 127.5)


def test_every_image_is_there_once_with_its_label_as_it_is_and_flipped(tmp_path, listing):
    folder = encoded(listing, tmp_path / "latents")
    data = LatentFolder("few", folder)

    assert list(brightness(data.all())) == [20 * i for i in range(IMAGES)]
    assert list(data.all().labels) == list(data.labels) == [0] * 4 + [1] * 7
    assert (data.shape, data.classes, data.train_size) == ((2, 2, 4), 2, IMAGES)
    first = np.load(moments_path(folder, 0))
    assert np.allclose(first[:, 1, :, ::-1, :4], first[:, 0, :, :, :4])  # true of this encoder, of no real one
    assert not np.allclose(first[:, 1], first[:, 0])
    assert damaged_shards(folder, read_manifest(folder)) == []


def test_hosts_share_the_shards_and_an_interrupted_host_goes_on(tmp_path, listing):
    alone, shared = encoded(listing, tmp_path / "alone"), tmp_path / "shared"
    calls = []

    def failing(images):
        calls.append(len(images))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return encode(images)

    run(listing, shared, host=1, hosts=2)
    assert finished(listing, shared) is None
    with pytest.raises(DataError, match=r"2 shards are encoded, not all; run the same `dit-grid encode` again"):
        read_manifest(shared)
    with pytest.raises(KeyboardInterrupt):
        run(listing, shared, failing, host=0, hosts=2)
    calls.clear()

    def counting(images):
        calls.append(len(images))
        return encode(images)

    run(listing, shared, counting, host=0, hosts=2)
    assert calls == [2] * 4  # one shard of three images, in two batches, plain and flipped
    assert finished(listing, shared) == read_manifest(alone)
    assert moments_path(shared, 2).read_bytes() == moments_path(alone, 2).read_bytes()


def test_unreadable_images_are_skipped_and_listed(tmp_path, listing):
    listing.files[5].write_text("no image")
    folder = encoded(listing, tmp_path / "latents")
    skipped = [name for shard in read_manifest(folder).shards for name, _ in shard.skipped]
    assert skipped == ["bee/05.png"]
    assert list(brightness(LatentFolder("few", folder).all())) == [20 * i for i in range(IMAGES) if i != 5]


def test_latents_are_multiplied_by_the_scale_that_their_making_says(tmp_path, listing):
    """Shards hold what the autoencoder gives, the same for every scale; training and identity follow the record."""
    scaled = Making(16, "adm center crop", "ab" * 32, scaling=0.13025)
    for name, making in (("usual", MAKING), ("scaled", scaled)):
        files = open_files(str(tmp_path / name))
        list(encode_shards(listing, job(listing, making), encode, files))
        assert finish(job(listing, making), files) is not None
    usual, other = (LatentFolder("few", tmp_path / name) for name in ("usual", "scaled"))
    expected = usual.all().images / np.float32(0.18215) * np.float32(0.13025)
    np.testing.assert_allclose(other.all().images, expected, rtol=1e-6)
    np.testing.assert_allclose(
        other.batch(0, 3, 4).images, usual.batch(0, 3, 4).images * (0.13025 / 0.18215), rtol=1e-5
    )
    assert other.fingerprint != usual.fingerprint
    assert "scaling" not in (tmp_path / "usual" / "manifest.json").read_text()  # as before there were other scales
    for there, asked in (("usual", scaled), ("scaled", MAKING)):
        with pytest.raises(DataError, match=r"encoded differently: scaling is 0\.\d+ there and 0\.\d+ now"):
            next(encode_shards(listing, job(listing, asked), encode, open_files(str(tmp_path / there))))


def test_output_of_another_making_is_refused_with_what_differs(tmp_path, listing):
    files = open_files(str(encoded(listing, tmp_path / "latents")))
    other = Making(16, "adm center crop", "00" * 32)
    with pytest.raises(DataError, match=r"encoded differently: vae_sha256 is (ab){32} there and 0{64} now; choose ano"):
        next(encode_shards(listing, job(listing, other), encode, files))
    with pytest.raises(DataError, match="encoded differently: shard_images is 3 there and 4 now"):
        next(encode_shards(listing, job(listing, shard_images=4), encode, files))
    listing.files[3].rename(listing.files[3].with_name("renamed.png"))
    again = list_images(listing.folder)
    with pytest.raises(DataError, match="encoded differently: files_sha256 is"):
        next(encode_shards(again, job(again), encode, files))


def test_a_shard_of_which_no_image_can_be_read_does_not_stop_the_others(tmp_path, listing):
    for file in listing.files[3:6]:
        file.write_text("no image")
    data = LatentFolder("few", encoded(listing, tmp_path / "latents"))
    assert list(brightness(data.all())) == [20 * i for i in range(IMAGES) if i not in (3, 4, 5)]
    for file in listing.files:
        file.write_text("no image")
    run(listing, tmp_path / "none")
    with pytest.raises(DataError, match=r"none of 11 images can be read; the first is ant/00.png: not a re"):
        finished(listing, tmp_path / "none")


def test_latents_that_are_not_finite_are_not_written(tmp_path, listing):
    output = tmp_path / "latents"
    with pytest.raises(DataError, match=r"latents of some of ant/00.png, ant/01.png … are not finite; is the VAE"):
        run(listing, output, lambda images: (np.full((len(images), 2, 2, 4), np.nan), np.zeros((len(images), 2, 2, 4))))
    assert finished(listing, output) is None


def test_a_damaged_shard_is_found_and_a_missing_one_named(tmp_path, listing):
    folder = encoded(listing, tmp_path / "latents")
    path = moments_path(folder, 2)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert damaged_shards(folder, read_manifest(folder)) == [2]
    path.unlink()
    with pytest.raises(DataError, match=r"shards \[2\] are missing"):
        LatentFolder("few", folder)


def test_an_archive_in_place_of_a_shard_is_refused(tmp_path, listing):
    folder = encoded(listing, tmp_path / "latents")
    with zipfile.ZipFile(moments_path(folder, 2), "w"):
        pass
    with pytest.raises(DataError, match=r"00002\.npy: is not what was encoded"):
        LatentFolder("few", folder).all()


@pytest.mark.parametrize("part", ["moments", "labels"])
@pytest.mark.parametrize("place", [3, 60, -1], ids=["magic", "header", "numbers"])
def test_no_bit_that_changed_in_a_shard_is_trained_on(tmp_path, listing, part, place):
    folder = encoded(listing, tmp_path / "latents")
    path = moments_path(folder, 2) if part == "moments" else labels_path(folder, 2)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path.name}: is not what was encoded \(SHA-256 .*, the manifest") as caught:
        LatentFolder("few", folder).all()
    assert "\n" not in str(caught.value)


def test_a_shard_is_hashed_once_before_its_first_use_and_not_before(tmp_path, listing, monkeypatch):
    folder, hashed = encoded(listing, tmp_path / "latents"), []

    def counting(path):
        hashed.append(path.name)
        return sha256(path)

    sha256 = latent_files._sha256
    monkeypatch.setattr(latent_files, "_sha256", counting)
    data = LatentFolder("few", folder)
    moments = [name for name in hashed if "labels" not in name]
    assert moments == ["00000.npy"], "its shape is asked for"
    for _ in range(2):
        data.all()
    assert sorted(name for name in hashed if "labels" not in name) == [
        "00000.npy",
        "00001.npy",
        "00002.npy",
        "00003.npy",
    ]


def test_batches_draw_latents_and_flips_afresh_and_alike_for_one_seed_and_step(tmp_path, listing):
    data = dataset_named("few", str(encoded(listing, tmp_path / "latents")))
    batches = [data.batch(seed, step, 512) for seed, step in ((0, 3), (0, 3), (0, 4), (1, 3))]

    assert np.array_equal(batches[0].images, batches[1].images)
    assert not np.array_equal(batches[0].images, batches[2].images)
    assert not np.array_equal(batches[0].images, batches[3].images)
    assert batches[0].images.dtype == np.float32
    one = batches[0].images[batches[0].labels == 0] / LATENT_SCALE
    assert one.std(axis=0).mean() == pytest.approx(SPREAD, rel=0.15)  # 180 draws, and a little spread of the images
    moments = data.all().images / LATENT_SCALE
    assert abs(one.mean() - moments[:4].mean()) < 0.05


def test_the_draws_of_a_row_are_those_of_a_generator_of_its_own(tmp_path, listing):
    """Philox with the key (seed, step | 2^63) and the row in the last word of its counter, made anew for each row."""
    data = LatentFolder("few", encoded(listing, tmp_path / "latents"))
    flips, noise = data._draws(7, 3, range(5))
    for row in range(5):
        bits = np.random.Philox(key=np.array([7, 3 | 1 << 63], np.uint64), counter=[0, 0, 0, row])
        draws = np.random.Generator(bits)
        assert flips[row] == draws.integers(0, 2)
        assert np.array_equal(noise[row], draws.standard_normal(data.shape, dtype=np.float32))


def test_no_two_steps_or_seeds_share_their_draws(tmp_path, listing):
    output = tmp_path / "latents"
    run(listing, output, lambda images: (np.zeros((len(images), 2, 2, 4)), np.zeros((len(images), 2, 2, 4))))
    finished(listing, output)
    data = LatentFolder("noise", output)
    draws = {data.batch(seed, step, 2).images.tobytes() for seed in (0, 1) for step in range(8)}
    assert len(draws) == 16


def test_about_half_of_the_images_of_a_batch_are_flipped(tmp_path, listing):
    output = tmp_path / "latents"
    run(listing, output, lambda images: (encode(images)[0], np.full((len(images), 2, 2, 4), -60)))  # nothing to draw
    finished(listing, output)
    images, _ = LatentFolder("few", output).batch(0, 0, 400)
    darker_on_the_right = images[:, 0, 1, 0] < images[:, 0, 0, 0]
    assert 0.4 < darker_on_the_right.mean() < 0.6  # four standard errors


def test_a_folder_without_latents_says_how_to_make_them(tmp_path):
    with pytest.raises(DataError, match="no latents; latents are made by `dit-grid encode FOLDER --vae FILE -o"):
        dataset_named("imagenet256-latents", str(tmp_path))
    assert not record_path(tmp_path, 0).exists()


KILLED = """
import sys, time
import numpy as np
import zipfile
from pathlib import Path
from dit_grid.experiments.data.encode import encode_shards, encoding_of
from dit_grid.experiments.data.image_folder import list_images
from dit_grid.experiments.data.latent_shards import Making
from dit_grid.experiments.store.files import open_files

def slow(images):
    time.sleep(0.05)
    mean = images.reshape(len(images), 2, 8, 2, 8, 3).mean(axis=(2, 4))
    mean = np.concatenate([mean, mean[..., :1]], axis=-1)
    return mean, np.full_like(mean, 2 * np.log(np.float32(0.5)))

listing = list_images(Path(sys.argv[1]))
encoding = encoding_of(listing, Making(16, "adm center crop", "ab" * 32), 3)
list(encode_shards(listing, encoding, slow, open_files(sys.argv[2]), batch=2))
"""


def test_killed_at_any_instant_the_same_command_ends_with_the_same_bytes(tmp_path, listing):
    alone, killed = encoded(listing, tmp_path / "alone"), tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(listing.folder), str(killed)])
    deadline = time.monotonic() + 60
    while not record_path(killed, 1).exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert record_path(killed, 1).exists()
    assert not record_path(killed, 3).exists()
    assert not (killed / "manifest.json").exists()

    moments_path(killed, 3).write_bytes(moments_path(alone, 3).read_bytes())  # killed between moments and record
    encoded(listing, killed)

    names = {path.name for path in alone.iterdir()}
    assert names == {path.name for path in killed.iterdir() if not path.name.startswith(".tmp-")}
    assert all((alone / name).read_bytes() == (killed / name).read_bytes() for name in names)


def test_moments_left_by_a_killed_encoder_on_another_device_count_with_their_own_checksum(tmp_path, listing):
    alone, killed = encoded(listing, tmp_path / "alone"), tmp_path / "killed"
    begin(open_files(str(killed)), job(listing))
    rounded = np.nextafter(np.load(moments_path(alone, 1)), np.float32(9))
    np.save(moments_path(killed, 1), rounded)

    encoded(listing, killed)

    assert damaged_shards(killed, read_manifest(killed)) == []
    assert np.array_equal(np.load(moments_path(killed, 1)), rounded)
