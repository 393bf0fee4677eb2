"""Folders of latents with one damaged file: read equal, refused in one line, or found by the manifest's checksums."""

import json

import numpy as np
import pytest

from dit_grid.experiments.data.latent_shards import (
    Encoding,
    Making,
    Manifest,
    begin,
    damaged_shards,
    labels_name,
    moments_name,
    write_manifest,
    write_shard,
)
from dit_grid.experiments.data.latents import LatentFolder
from dit_grid.experiments.store.files import open_files

INPUTS = 500
MAKING = Making(16, "adm center crop", "ab" * 32)


@pytest.fixture
def folder(fuzz):
    """Two shards of three images, in two classes."""
    place = fuzz.folder / "latents"
    files, draws = open_files(str(place)), np.random.default_rng(0)
    begin(files, Encoding(MAKING, 6, "cd" * 32, ("ant", "bee"), 3))
    shards = [
        write_shard(
            files, i, draws.standard_normal((3, 2, 2, 2, 8)).astype(np.float32), np.array([0, 1, 1], np.int32), MAKING,
            "ef" * 32, (),
        ) for i in range(2)
    ]  # fmt: skip
    write_manifest(files, Manifest(("ant", "bee"), tuple(shards)))
    return place


@pytest.mark.parametrize("name", ["manifest.json", moments_name(1), labels_name(0)])
def test_damaged_latents(fuzz, damage, folder, inputs, name):
    path = folder / name
    sound = path.read_bytes()

    def read(data):
        path.write_bytes(data)
        found = LatentFolder("own", folder)
        values = [*found.batch(0, 1, 4), *found.all()]
        return values, found.classes, found.fingerprint, bool(damaged_shards(folder, found.manifest))

    def same(whole, found):
        alike = all(np.array_equal(a, b) for a, b in zip(whole[0], found[0], strict=True)) and whole[1] == found[1]
        return alike or found[3] or found[2] != whole[2]  # another manifest is another dataset, and another run

    kind = damage.json if name.endswith(".json") else damage.bytes
    assert fuzz(sound, read, inputs, same=same, damage=kind, name=name, prepared=True)
    path.write_bytes(sound)
    assert json.loads((folder / "manifest.json").read_bytes())["format"] == 1
