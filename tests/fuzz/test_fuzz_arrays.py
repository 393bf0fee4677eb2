"""Samples and reference statistics, damaged and hostile: read equal, or refused in one line; nothing is unpickled."""

import io
import json
import zipfile

import numpy as np
import pytest

from dit_grid.experiments.evaluation.image_sets import image_set
from dit_grid.experiments.metrics.reference import (
    Gaussian,
    Provenance,
    holds_images,
    read_reference,
    read_rows,
    write_reference,
)
from dit_grid.experiments.sampling.sample_files import made_how

INPUTS = 2000
DRAWN = np.random.default_rng(0)


def packed(**arrays):
    """An `.npz` of the arrays; bytes stand for a member as it is, whatever it is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            if isinstance(array, bytes):
                member.write(array)
            else:
                np.save(member, array, allow_pickle=True)
            archive.writestr(f"{name}.npy", member.getvalue())
    return buffer.getvalue()


SAMPLES = {
    "arr_0": DRAWN.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8),
    "arr_1": np.arange(6),
    "dit_grid_samples": np.array(json.dumps({"samples": 6, "part": 3})),
}


def samples_read(path):
    images = image_set(path)
    return np.concatenate(list(images.chunks())), images.labels, made_how(str(path))


def samples_equal(whole, found):
    return np.array_equal(whole[0], found[0]) and np.array_equal(whole[1], found[1]) and whole[2] == found[2]


def test_damaged_samples(fuzz, inputs):
    """Every array has a checksum in its file, so nothing is read as something else."""
    assert fuzz(packed(**SAMPLES), samples_read, inputs, same=samples_equal, name="samples.npz") > inputs / 2


def reference_read(path):
    found = read_reference(path)
    return found, read_rows(path), holds_images(path)


def references_equal(whole, found):
    pools = all(np.array_equal(a, b) for a, b in zip(whole[0].pool, found[0].pool, strict=True))
    return pools and whole[0].provenance == found[0].provenance and np.array_equal(whole[1], found[1])


@pytest.fixture
def reference(tmp_path):
    """The bytes of a reference of this program, with features and how it was made."""
    path = tmp_path / "reference.npz"
    made = Provenance("inception", "ab" * 32, "tf1", 50, "cd" * 32, (8, 8))
    pool = Gaussian(DRAWN.standard_normal(5), np.eye(5))
    write_reference(path, pool, Gaussian(np.ones(3), np.eye(3)), made, DRAWN.standard_normal((7, 5)))
    return path.read_bytes()


def test_damaged_references(fuzz, reference, inputs):
    assert fuzz(reference, reference_read, inputs, same=references_equal, name="reference.npz") > inputs / 2


class Runs:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return __import__("os").system, ("touch executed",)


def claims(text: str, then: bytes = bytes(64)) -> bytes:
    """An array whose header is the text."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + then


HOSTILE = {
    "of no dimension": np.array(3, np.uint8),
    "empty": np.zeros((0, 8, 8, 3), np.uint8),
    "of text": np.array(["a", "b"]),
    "of objects": np.array([Runs(), None], object),
    "of records": np.zeros(3, [("a", "i4")]),
    "of dates": np.array(["2020-01-01"], "datetime64[D]"),
    "complex": np.ones((6, 8, 8, 3), complex),
    "not finite": np.full((6,), np.nan),
    "of a column": np.arange(6)[:, None],
    "negative": np.arange(6) - 3,
    "of truth values": np.ones(6, bool),
    "of halves": np.full(6, 0.5),
    "of text that is no JSON": np.array("{"),
    "of text that is a list": np.array("[1]"),
    "of deep text": np.array("[" * 100_000),
    "of bytes": np.array(b"{}"),
    "in Fortran's order": np.asfortranarray(DRAWN.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)),
    "that claims 10 TB": claims("{'descr': '|u1', 'fortran_order': False, 'shape': (10000000000000, 8, 8, 3)}"),
    "that claims a negative side": claims("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 8, 8, 3)}"),
    "that claims more digits than Python reads": claims("{'descr': '|u1', 'shape': (" + "9" * 5000 + ",)}"),
    "whose header is code": claims("__import__('os').system('touch executed')"),
    "whose header is deep": claims("(" * 9000),
    "whose header is no dictionary": claims("[1, 2]"),
    "that is no array": b"hello",
    "that is nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("name", list(SAMPLES))
@pytest.mark.parametrize("what", list(HOSTILE))
def test_hostile_arrays_in_samples(fuzz, damage, name, what):
    """Of the array's type and shape only what it should be is read; the file itself is sound."""
    data = packed(**SAMPLES | {name: HOSTILE[what]})
    found = fuzz(packed(**SAMPLES), samples_read, 1, damage=lambda *_: data, name="samples.npz")
    allowed = (name == "dit_grid_samples" and what.startswith("of text that")) or (name, what) == (name, "of deep text")
    assert found == 1 or allowed


@pytest.mark.parametrize("name", ["mu", "sigma", "mu_s", "dit_grid_rows", "dit_grid_provenance"])
@pytest.mark.parametrize("what", list(HOSTILE))
def test_hostile_arrays_in_references(fuzz, reference, name, what):
    with np.load(io.BytesIO(reference)) as arrays:
        data = packed(**dict(arrays) | {name: HOSTILE[what]})
    assert fuzz(reference, reference_read, 1, damage=lambda *_: data, name="reference.npz") == 1


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED])
def test_a_file_that_unpacks_to_far_more_than_itself(fuzz, method):
    """48 MB of zeros in 50 kB of deflate, or in less of what NumPy does not write."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, archive.open("arr_0.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "|u1", "fortran_order": False, "shape": (1024, 128, 128, 3)}
        )
        for _ in range(48):
            member.write(bytes(2**20))
    bomb = buffer.getvalue()
    read = lambda path: sum(len(chunk) for chunk in image_set(path).chunks())  # noqa: E731
    found = fuzz(packed(**SAMPLES), read, 1, damage=lambda *_: bomb, name="samples.npz", multiple=1100)
    assert found == (method != zipfile.ZIP_DEFLATED)
