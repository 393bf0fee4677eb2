"""A folder in ImageNet's layout trains; what is wrong with a folder is said in one line."""

import os

import numpy as np
import pytest
from PIL import Image

from dit_grid.experiments.data import image_folder
from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.image_folder import ImageFolder, check_uniform, list_images, read_cropped, survey
from dit_grid.experiments.data.registry import dataset_named, folder_notes


def save(path, size=(12, 10), mode="RGB", value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * len(mode)).save(path)


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(["ant", "ant", "bee", "cat", "cat"]):
        save(tmp_path / name / f"{i}.png", value=51 * i)
    return tmp_path


def test_batches_show_cropped_images_with_the_label_of_their_folder(folder):
    data = ImageFolder(folder, size=8, heldout_images=1)
    images, labels = data.batch(seed=0, step=0, size=4)

    assert (data.classes, data.shape, data.train_size) == (3, (8, 8, 3), 4)
    assert (images.shape, images.dtype, labels.dtype) == ((4, 8, 8, 3), "float32", "int32")
    shown = [(round(float(v + 1) * 127.5) // 51, label) for v, label in zip(images[:, 0, 0, 0], labels, strict=True)]
    heldout = [(round(float(v + 1) * 127.5) // 51, label) for v, label in zip(*_corner(data.heldout()), strict=True)]
    assert list(data.labels) == [0, 0, 1, 2, 2]
    assert sorted(shown + heldout) == [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2)]
    assert np.array_equal(data.batch(0, 0, 4).images, images)


def _corner(batch):
    return batch.images[:, 0, 0, 0], batch.labels


def test_the_fingerprint_sees_a_renamed_file_and_the_crop(folder):
    before = ImageFolder(folder, 8).fingerprint
    assert ImageFolder(folder, 16).fingerprint != before
    (folder / "ant" / "0.png").rename(folder / "ant" / "9.png")
    assert ImageFolder(folder, 8).fingerprint != before


def test_the_fingerprint_is_of_the_contents_which_are_read_once(folder, monkeypatch):
    read = []
    original = image_folder._sha256

    def counting(file):
        read.append(file.name)
        return original(file)

    monkeypatch.setattr(image_folder, "_sha256", counting)
    before = ImageFolder(folder, 8).fingerprint
    assert len(read) == 5
    assert ImageFolder(folder, 8).fingerprint == before
    assert len(read) == 5
    file = folder / "ant" / "0.png"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, (1, 1))
    assert ImageFolder(folder, 8).fingerprint != before


def test_corrupt_images_are_listed_and_a_batch_names_the_one_it_meets(folder):
    whole = (folder / "bee" / "2.png").read_bytes()
    (folder / "bee" / "2.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cat" / "x.jpg").write_text("not an image")
    listing = list_images(folder)
    found = survey(listing)

    assert [file.name for file, _ in found.corrupt] == ["2.png", "x.jpg"]
    with pytest.raises(DataError, match=r"2 of 6 images cannot be read: bee/2\.png, cat/x\.jpg"):
        check_uniform(found, listing)
    with pytest.raises(DataError, match=r"(2\.png|x\.jpg): not a readable image"):
        ImageFolder(folder, 8).all()


def test_images_scored_without_a_crop_must_agree_in_mode_and_size(folder):
    save(folder / "bee" / "grey.png", mode="L")
    with pytest.raises(DataError, match=r"images of mode RGB \(5\), L \(1\); allowed is RGB"):
        check_uniform(survey(list_images(folder)), list_images(folder))
    save(folder / "bee" / "grey.png", size=(12, 11))
    with pytest.raises(DataError, match=r"images of size \(12, 10\) \(5\), \(12, 11\) \(1\)"):
        check_uniform(survey(list_images(folder)), list_images(folder))


def test_a_grey_image_trains_as_rgb(folder):
    save(folder / "bee" / "2.png", mode="L", value=255)
    images, labels = ImageFolder(folder, 8).all()
    assert np.all(images[labels == 1] == 1)


def test_bad_layouts_are_refused(tmp_path, folder):
    (folder / "dog").mkdir()
    (folder / "elk").mkdir()
    with pytest.raises(DataError, match="2 class folders without an image: dog, elk"):
        ImageFolder(folder, 8)
    with pytest.raises(DataError, match=r"no class folders; expected ImageNet's layout, ant/CLASS/IMAGE\.jpg"):
        list_images(folder / "ant")
    with pytest.raises(DataError, match="missing: no such folder"):
        list_images(tmp_path / "missing")
    (folder / "dog").rmdir()
    (folder / "elk").rmdir()
    with pytest.raises(DataError, match="5 images to hold out of 5; allowed is 0 to 4"):
        ImageFolder(folder, 8, heldout_images=5)


def sixteen_bits(path, value, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size[::-1], value, np.uint16)).save(path)


def test_sixteen_bit_grey_is_scaled_and_not_cut_off(tmp_path):
    """A mean of 20,000 of 65,535 is 78 of 255; Pillow's own conversion makes white of all above 255."""
    for value, eight in ((0, 0), (20_000, 78), (257, 1), (65_535, 255)):
        sixteen_bits(tmp_path / "scans" / "a.png", value)
        assert np.all(read_cropped(tmp_path / "scans" / "a.png", 8) == eight)
    assert survey(list_images(tmp_path)).modes == {"L": 1}


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_modes_whose_numbers_have_no_range_are_refused_by_name(tmp_path, dtype):
    (tmp_path / "scans").mkdir()
    Image.fromarray(np.ones((8, 8), dtype)).save(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(tmp_path / "scans" / "a.png")
    with pytest.raises(
        DataError, match=r"a\.png: mode [IF], whose numbers have no stated range; allowed are images of 8"
    ):
        ImageFolder(tmp_path, 8).all()


def litter(folder):
    """What macOS, Synology, notebooks and Windows leave, at every depth."""
    for place in (folder, folder / "ant"):
        save(place / "__MACOSX" / "ant" / "._0.png")
        save(place / "@eaDir" / "0.png" / "SYNOFILE_THUMB_M.jpg")
        save(place / ".ipynb_checkpoints" / "0-checkpoint.png")
        (place / "._0.png").write_bytes(b"\0\5\x16\7")
        (place / "Thumbs.db").write_bytes(b"x")
        (place / ".DS_Store").write_bytes(b"x")


def test_what_systems_leave_is_no_class_and_no_image(folder):
    before = list_images(folder)
    litter(folder)
    assert list_images(folder) == before
    assert ImageFolder(folder, 8).all().images.shape == (5, 8, 8, 3)


def test_what_else_is_left_out_is_counted_and_named(folder):
    litter(folder)
    save(folder / "cover.png")
    save(folder / "ant" / "scan.tif")
    (folder / "bee" / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "cat" / "more").symlink_to(folder / "ant")
    (folder / "cat" / "notes").write_text("x")
    listing = list_images(folder)
    assert len(listing.files) == 5
    said, left_out = listing.notes
    assert said.endswith("5 images of 3 classes: ant, bee, cat")
    kinds = "pictures 1, .tif 1, dead links 1, links to folders 1, no suffix 1"
    assert left_out.endswith(f"5 files left out ({kinds}): cover.png, ant/scan.tif, bee/gone.png, …")
    save(folder / "dog" / "a.tif")
    with pytest.raises(DataError, match=r"1 class folders without an image: dog \(holds \.tif 1\)"):
        list_images(folder)


def test_a_folder_of_images_stays_one_whatever_lies_at_its_top(folder):
    (folder / "labels.json").write_text("{}")
    assert isinstance(dataset_named("mine", str(folder), 8), ImageFolder)
    assert folder_notes(str(folder))[0].endswith("5 images of 3 classes: ant, bee, cat")
