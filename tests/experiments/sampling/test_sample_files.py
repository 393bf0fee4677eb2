"""A file of samples holds each of them once, whatever interrupts its making and however many hosts share it."""

import numpy as np
import pytest

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.image_arrays import image_chunks
from dit_grid.experiments.sampling.sample_files import Job, made_how, write_samples

LABELS = np.arange(11, dtype=np.int32) % 3
JOB = Job(LABELS, part=4, made={"seed": 0, "guidance": 1.5})


def draw(labels, numbers):
    """Images that tell their label and their number; in two chunks."""
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    images[:, 0, 0, 0], images[:, 1, 1, 1] = labels, numbers
    yield images[:1]
    yield images[1:]


def write(path, job=JOB, draw=draw, **share):
    heard: list = []
    whole = write_samples(str(path), job, draw, drawn=lambda count, new: heard.append((count, new)), **share)
    return whole, heard


def test_the_file_is_adms_form_in_order(tmp_path):
    path = tmp_path / "samples.npz"
    assert write(path) == (True, [(4, True), (4, True), (3, True)])
    with np.load(path) as arrays:
        assert (arrays["arr_0"].dtype, arrays["arr_0"].shape) == (np.uint8, (11, 2, 2, 3))
        assert list(arrays["arr_0"][:, 1, 1, 1]) == list(range(11))
        assert list(arrays["arr_1"]) == list(arrays["arr_0"][:, 0, 0, 0]) == list(LABELS)
    assert sum(map(len, image_chunks(path, 3))) == 11
    assert made_how(str(path)) == JOB.text
    assert [entry.name for entry in tmp_path.iterdir()] == ["samples.npz"]
    assert write(path) == (True, [(11, False)])


def test_an_interrupted_making_goes_on_and_ends_with_the_same_bytes(tmp_path):
    write(tmp_path / "alone.npz")
    calls = []

    def failing(labels, numbers):
        calls.append(list(numbers))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw(labels, numbers)

    path = tmp_path / "samples.npz"
    with pytest.raises(KeyboardInterrupt):
        write(path, draw=failing)
    assert not path.exists()
    assert write(path, draw=failing) == (True, [(4, False), (4, True), (3, True)])
    assert calls == [[0, 1, 2, 3], [4, 5, 6, 7], [4, 5, 6, 7], [8, 9, 10]]
    assert path.read_bytes() == (tmp_path / "alone.npz").read_bytes()


def test_hosts_share_the_parts(tmp_path):
    path = tmp_path / "samples.npz"
    assert write(path, host=1, hosts=2) == (False, [(4, True)])
    assert write(path, host=0, hosts=2) == (True, [(4, True), (3, True)])
    write(tmp_path / "alone.npz")
    assert path.read_bytes() == (tmp_path / "alone.npz").read_bytes()


def test_other_samples_under_the_same_name_are_refused_with_what_differs(tmp_path):
    path = tmp_path / "samples.npz"
    other = Job(LABELS, part=4, made={"seed": 1, "guidance": 1.5})
    assert not write(path, host=1, hosts=2)[0]
    with pytest.raises(DataError, match=r"parts: is there already, made otherwise: seed is 0 there and 1 now; choose"):
        write(path, other)
    write(path)
    with pytest.raises(DataError, match=r"samples\.npz: is there already, made otherwise: seed is 0 there and 1 now"):
        write(path, other)
    np.savez(tmp_path / "foreign.npz", np.zeros((1, 2, 2, 3), np.uint8))
    with pytest.raises(DataError, match="was made by another program; choose another name"):
        write(tmp_path / "foreign.npz")
    assert not (tmp_path / "foreign.npz.parts").exists()
