"""Latents and weight files on gs://, against the emulator: batches are, bit for bit, those of a folder on a disk."""

import numpy as np
import pytest

from dit_grid.experiments.data import remote
from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.feed import Feed
from dit_grid.experiments.data.latent_shards import Making, Manifest, write_manifest, write_shard
from dit_grid.experiments.data.registry import dataset_named
from dit_grid.experiments.running.needed_files import check_needed_files
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.spec.source import SpecError
from dit_grid.experiments.store.files import open_files

MAKING = Making(16, "adm center crop", "ab" * 32)


@pytest.fixture
def bucket(emulator, request, monkeypatch, tmp_path):
    """A fresh folder in the bucket; copies go to a cache of their own."""
    monkeypatch.setenv("DIT_GRID_CACHE", str(tmp_path / "cache"))
    remote._filesystem.cache_clear()
    yield f"gs://bucket/{request.node.name}"
    remote._filesystem.cache_clear()


def encode(place, shards=(5, 0, 3)):
    """Latents of eight images in three shards, of which one held none that could be read."""
    files, draws = open_files(place), np.random.default_rng(0)
    files.prepare()
    records = [
        write_shard(files, index, draws.standard_normal((count, 2, 2, 2, 8)).astype(np.float32),
                    np.arange(count, dtype=np.int32) % 2, MAKING, "cd" * 32, ())
        for index, count in enumerate(shards)
    ]  # fmt: skip
    write_manifest(files, Manifest(("ant", "bee"), tuple(records)))


def test_training_reads_the_same_batches_from_a_bucket_and_a_disk(bucket, tmp_path):
    encode(bucket)
    encode(str(tmp_path / "latents"))
    disk, remote_data = dataset_named("few", str(tmp_path / "latents")), dataset_named("few", bucket)
    assert remote_data.fingerprint == disk.fingerprint
    assert (remote_data.shape, remote_data.classes, list(remote_data.labels)) == (
        (2, 2, 4),
        2,
        [0, 1, 0, 1, 0, 0, 1, 0],
    )
    feed = Feed(remote_data, seed=1, size=6, steps=4)
    for step in range(4):
        images, labels = feed.stacked(step)
        assert np.array_equal(images[0], disk.batch(1, step, 6).images)
        assert np.array_equal(labels[0], disk.batch(1, step, 6).labels)


def test_unfinished_or_missing_latents_in_a_bucket_say_what_to_do(bucket):
    files = open_files(bucket)
    files.create("00000.json", b"{}")
    with pytest.raises(DataError, match=r"1 shards are encoded, not all; .* `dit-grid encode FOLDER --vae FILE -o gs:"):
        dataset_named("few", bucket)
    with pytest.raises(DataError, match=r"gs://bucket/nothing-here: no latents"):
        dataset_named("few", "gs://bucket/nothing-here")


def test_a_file_in_a_bucket_is_copied_once_for_each_version_of_it(bucket):
    files = open_files(bucket)
    files.create("weights.bin", b"one")
    first = remote.local_copy(f"{bucket}/weights.bin")
    assert (first.name, first.read_bytes()) == ("weights.bin", b"one")
    first.write_bytes(b"the copy")
    assert remote.local_copy(f"{bucket}/weights.bin").read_bytes() == b"the copy"
    files.delete("weights.bin")
    files.create("weights.bin", b"two")
    assert remote.local_copy(f"{bucket}/weights.bin").read_bytes() == b"two"
    with pytest.raises(DataError, match=r"gs://.*/none\.bin: no such file"):
        remote.local_copy(f"{bucket}/none.bin")


def test_a_launch_looks_for_its_files_in_the_bucket(bucket):
    open_files(bucket).create("inception.pth", b"there")
    run = RunSpec.model_validate({
        "model": {"size": "S", "patch": 2, "image_size": 8, "width": 8, "depth": 1, "heads": 2},
        "data": {"name": "digits"},
        "evaluate": {"every": 400_000, "files": {"inception": f"{bucket}/inception.pth", "adm": f"{bucket}/adm.npz"},
                     "settings": [{"metrics": ["fid"], "reference": "adm"}]},
    })  # fmt: skip
    with pytest.raises(SpecError) as caught:
        check_needed_files([run], "s.yaml")
    (problem,) = caught.value.problems
    assert str(problem).startswith(
        f"s.yaml: evaluate.files.adm: {bucket}/adm.npz: no such file or folder; ADM's are at"
    )
