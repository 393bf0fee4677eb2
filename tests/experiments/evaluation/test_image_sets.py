"""Images to score are taken as they are, all alike or not at all."""

import numpy as np
import pytest
from PIL import Image

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.evaluation.image_sets import image_set


def save(path, size=(6, 4), mode="RGB", value=7):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * len(mode)).save(path)


def pixels(images):
    return np.concatenate(list(images.chunks()))


def test_a_folder_gives_its_images_with_or_without_classes(tmp_path):
    for i in range(3):
        save(tmp_path / "flat" / f"{i}.png", value=i)
        save(tmp_path / "classes" / f"c{i}" / "x.png", value=i)
    for name in ("flat", "classes"):
        images = image_set(tmp_path / name)
        assert (images.count, pixels(images).shape) == (3, (3, 4, 6, 3))
        assert list(pixels(images)[:, 0, 0, 0]) == [0, 1, 2]
    cropped = image_set(tmp_path / "flat", 8)
    assert (pixels(cropped).shape, cropped.crop) == ((3, 8, 8, 3), "adm center crop 8")


def test_an_npz_gives_its_images_and_labels(tmp_path):
    path = tmp_path / "s.npz"
    np.savez(path, np.zeros((5, 4, 4, 3), np.uint8), np.arange(5))
    images = image_set(path)
    assert images.labels is not None
    assert (images.count, list(images.labels), pixels(images).shape) == (5, [0, 1, 2, 3, 4], (5, 4, 4, 3))


def test_mixed_and_unreadable_images_are_refused_by_name(tmp_path):
    def message(name):
        with pytest.raises(DataError) as caught:
            pixels(image_set(tmp_path / name))
        return str(caught.value)

    save(tmp_path / "sizes" / "a.png")
    save(tmp_path / "sizes" / "b.png", (8, 8))
    assert "b.png: 8 x 8 pixels, but images before it have 6 x 4" in message("sizes")
    assert "add --image-size to crop all alike" in message("sizes")
    save(tmp_path / "modes" / "a.png")
    save(tmp_path / "modes" / "b.png", mode="L")
    assert "b.png: mode L, but images before it are RGB" in message("modes")
    save(tmp_path / "alpha" / "a.png", mode="RGBA")
    assert "a.png: mode RGBA; allowed is RGB" in message("alpha")
    save(tmp_path / "bad" / "a.png")
    (tmp_path / "bad" / "b.png").write_text("no image")
    assert "b.png: not a readable image" in message("bad")
    assert pixels(image_set(tmp_path / "modes", 8)).shape == (2, 8, 8, 3)


def test_places_without_images_say_so(tmp_path):
    (tmp_path / "classes" / "empty").mkdir(parents=True)
    np.savez(tmp_path / "statistics.npz", mu=np.zeros(2), sigma=np.eye(2))
    np.savez(tmp_path / "none.npz", np.zeros((0, 4, 4, 3), np.uint8))
    (tmp_path / "torn.npz").write_bytes((tmp_path / "statistics.npz").read_bytes()[:-40])
    for name, message in (
        ("classes", "1 class folders without an image: empty"),
        ("absent.npz", "no such file or folder; give an .npz with arr_0"),
        ("statistics.npz", "holds no images: no array arr_0, only mu, sigma"),
        ("none.npz", "arr_0 holds no image"),
        ("torn.npz", "not a complete .npz file"),
    ):
        with pytest.raises(DataError, match=message):
            image_set(tmp_path / name)
    with pytest.raises(DataError, match=r"images of an \.npz are taken as they are; leave --image-size out"):
        image_set(tmp_path / "none.npz", 256)


def test_a_stray_picture_beside_class_folders_is_not_scored_alone(tmp_path):
    for i in range(3):
        save(tmp_path / f"c{i}" / "x.png", value=i)
    save(tmp_path / "cover.png", (9, 9))
    save(tmp_path / "__MACOSX" / "c0" / "x.png", (9, 9))
    images = image_set(tmp_path)
    assert pixels(images)[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert images.left_out.endswith("1 files left out (pictures 1): cover.png")


def test_a_few_pictures_below_many_are_left_out_by_name(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", value=i)
    save(tmp_path / "sheets" / "sheet.png", (9, 9))
    (tmp_path / "._0.png").write_bytes(b"x")
    images = image_set(tmp_path)
    assert pixels(images).shape == (3, 4, 6, 3)
    assert images.left_out.endswith("1 files left out (pictures 1): sheets/sheet.png")


def test_the_same_pictures_at_sixteen_bits_are_the_same_images(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    for i, image in enumerate(grey):
        for name, saved in (("eight", image), ("sixteen", image.astype(np.uint16) * 257)):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(saved).save(tmp_path / name / f"{i}.png")
    for crop in (None, 8):
        eight, sixteen = (pixels(image_set(tmp_path / name, crop)) for name in ("eight", "sixteen"))
        assert np.array_equal(eight, sixteen)


def test_a_bare_array_and_a_file_of_another_kind_are_named(tmp_path):
    np.save(tmp_path / "s.npy", np.zeros((5, 4, 4, 3), np.uint8))
    (tmp_path / "s.txt").write_text("hello")
    with pytest.raises(DataError, match=r"s\.npy: an \.npy, one bare array; numpy\.savez writes the \.npz"):
        image_set(tmp_path / "s.npy")
    with pytest.raises(DataError, match=r"s\.txt: not a complete \.npz file"):
        image_set(tmp_path / "s.txt")


@pytest.mark.parametrize(
    "labels",
    [np.arange(5)[:, None], np.full(5, np.nan), np.ones(5, complex), np.full(5, 0.5), np.arange(4), np.arange(5) - 1],
)
def test_labels_that_are_no_class_for_each_image_are_refused(tmp_path, labels):
    """(5, 1) would be compared with (5,) as a table of 25, and NaN become any class."""
    np.savez(tmp_path / "s.npz", np.zeros((5, 4, 4, 3), np.uint8), labels)
    with pytest.raises(DataError, match=r"arr_1 is .* of shape .*; expected the class of each of the 5 images"):
        image_set(tmp_path / "s.npz")
