"""Reference statistics of every known program are read; a reference that does not fit the samples is refused."""

from dataclasses import replace

import numpy as np
import pytest

from dit_grid.experiments.metrics.reference import (
    Gaussian,
    MismatchError,
    Provenance,
    ReferenceFileError,
    check_comparable,
    read_reference,
    write_reference,
)
from dit_grid.experiments.networks.features import PREPARATIONS
from dit_grid.experiments.networks.weight_files import file_sha256

MU, SIGMA = np.arange(3.0), np.eye(3, dtype=np.float32)
MADE = Provenance("inception-fid", "ab" * 32, "center-crop-256", images=5, images_sha256="cd" * 32)


@pytest.mark.parametrize(
    ("arrays", "spatial"),
    [
        ({"mu": MU, "sigma": SIGMA, "mu_s": MU[:2], "sigma_s": SIGMA[:2, :2], "arr_0": np.zeros((1, 2, 2, 3))}, True),
        ({"mu": MU, "sigma": SIGMA}, False),
        ({"ref_mu": MU, "ref_sigma": SIGMA}, False),
    ],
    ids=["adm", "pytorch-fid", "meanflow"],
)
def test_published_forms(tmp_path, arrays, spatial):
    path = tmp_path / "VIRTUAL.npz"
    np.savez(path, **arrays)
    found = read_reference(path)

    assert np.array_equal(found.pool.mean, MU)
    assert np.array_equal(found.pool.covariance, SIGMA)
    assert found.pool.covariance.dtype == np.float64
    assert (found.spatial is not None) == spatial
    assert (found.name, found.sha256, found.provenance) == ("VIRTUAL", file_sha256(path), None)
    check_comparable(found, MADE, features=3)


SCORED = Provenance("inception", "ab" * 32, PREPARATIONS["tf1"], 9, "")


@pytest.mark.parametrize(
    ("name", "arrays", "resize"),
    [
        ("VIRTUAL.npz", {"mu": MU, "sigma": SIGMA, "mu_s": MU, "sigma_s": SIGMA}, "tf1"),
        ("in256.npz", {"ref_mu": MU, "ref_sigma": SIGMA}, "tf1"),
        ("cifar10_clean_train_32.npz", {"mu": MU, "sigma": SIGMA}, "clean-fid"),
        ("ffhq_legacy_pytorch_trainval_256.npz", {"mu": MU, "sigma": SIGMA}, "pytorch-fid"),
        ("mine_legacy_tensorflow_custom_na.npz", {"mu": MU, "sigma": SIGMA}, "tf1"),
        ("stats.npz", {"mu": MU, "sigma": SIGMA}, ""),
    ],
)
def test_the_resize_that_a_file_shows_is_held_against_the_samples(tmp_path, name, arrays, resize):
    np.savez(tmp_path / name, **arrays)
    found = read_reference(tmp_path / name)
    assert found.resize == resize
    if resize == "tf1":
        check_comparable(found, SCORED, features=3)
    elif resize:
        with pytest.raises(MismatchError, match=rf"was made with .*\({resize}\).*--features inception-{resize}=FILE"):
            check_comparable(found, SCORED, features=3)
        check_comparable(found, replace(SCORED, preparation=PREPARATIONS[resize]), features=3)
    else:
        with pytest.warns(UserWarning, match="reference stats does not say how its images were resized"):
            check_comparable(found, SCORED, features=3)


def test_our_own_files_say_how_they_were_made(tmp_path):
    write_reference(tmp_path / "r.npz", Gaussian(MU, np.eye(3)), None, MADE)
    found = read_reference(tmp_path / "r.npz")
    assert found.provenance == MADE
    check_comparable(found, Provenance("inception-fid", "ab" * 32, "center-crop-256", 9, "ef" * 32), features=3)


def test_every_difference_of_making_is_named(tmp_path):
    write_reference(tmp_path / "r.npz", Gaussian(MU, np.eye(3)), None, MADE)
    other = Provenance("inception-fid", "00" * 32, "center-crop-64", 5, "cd" * 32)
    with pytest.raises(
        MismatchError, match=r"reference r: features_sha256 is 0{64} .*; preparation is center-crop-64 for"
    ):
        check_comparable(read_reference(tmp_path / "r.npz"), other, features=3)
    with pytest.raises(MismatchError, match="has 3 features and the samples 2048"):
        check_comparable(read_reference(tmp_path / "r.npz"), MADE, features=2048)


def test_files_that_are_no_statistics_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, arr_0=MU)
    with pytest.raises(ReferenceFileError, match="holds arr_0; expected mu and sigma"):
        read_reference(path)
    np.savez(path, mu=MU, sigma=SIGMA[:2])
    with pytest.raises(ReferenceFileError, match=r"mu \(3,\) and sigma \(2, 3\); expected"):
        read_reference(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ReferenceFileError, match=r"not a complete \.npz"):
        read_reference(path)
    with pytest.raises(ReferenceFileError, match="no such file"):
        read_reference(tmp_path / "none.npz")
    with pytest.raises(ReferenceFileError, match="a pickle can run code"):
        read_reference(tmp_path / "stats.pkl")
