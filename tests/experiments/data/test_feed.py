"""A feed gives the dataset's own batches bit for bit, ahead of time, from any step on, and to each host its rows."""

import copy
import threading
import time

import numpy as np
import pytest
from PIL import Image

from dit_grid.experiments.data.dataset import Batch, DataError
from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.data.feed import Feed
from dit_grid.experiments.data.image_folder import ImageFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    draws = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("images")
    for i in range(12):
        path = root / ("ant" if i < 5 else "bee") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (9, 11, 3), dtype=np.uint8)).save(path)
    return ImageFolder(root, size=8)


def expected(dataset, steps, size=5):
    batches = [dataset.batch(3, step, size) for step in steps]
    return np.stack([b.images for b in batches]), np.stack([b.labels for b in batches])


def same(found, wanted):
    return all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_batches_read_ahead_are_the_datasets_own_bit_for_bit(folder):
    for dataset in (folder, digits()):
        feed = Feed(dataset, seed=3, size=5, steps=12, per_call=2)
        for first in range(0, 12, 2):
            assert same(feed.stacked(first), expected(dataset, (first, first + 1)))


def test_a_feed_goes_on_from_any_step_without_what_came_before(folder):
    feed = Feed(folder, seed=3, size=5, steps=12)
    assert same(feed.stacked(7), expected(folder, [7]))
    assert same(feed.stacked(8), expected(folder, [8]))
    assert same(feed.stacked(2), expected(folder, [2]))


def test_each_host_reads_its_rows_alone_and_together_they_are_the_batch(folder, monkeypatch):
    read, original = [], ImageFolder._take
    counted = copy.copy(folder)  # the feeds of tests before may still be reading ahead

    def counting(self, rows):
        if self is counted:
            read.append(len(rows))
        return original(self, rows)

    monkeypatch.setattr(ImageFolder, "_take", counting)
    images, labels = expected(folder, (0, 1), size=6)
    parts = [Feed(counted, 3, 6, 2, per_call=2, rows=rows).stacked(0) for rows in (slice(0, 2), slice(2, 6))]
    assert sorted(read) == [2, 2, 4, 4]
    assert np.array_equal(parts[0][0] + parts[1][0], images)  # what is not a host's own is 0
    assert all(np.array_equal(part[1], labels) for part in parts)


class Slow:
    """A dataset of 30 ms a batch."""

    name, classes, shape, labels, train_size, fingerprint = "slow", 2, (2, 2, 1), np.zeros(4, np.int32), 4, ""

    def batch(self, seed, step, size):
        if step == 90:
            raise DataError("image 90 is broken")
        time.sleep(0.03)
        return Batch(np.full((size, *self.shape), step, np.float32), np.zeros(size, np.int32))

    def heldout(self):
        return self.batch(0, 0, 0)

    def all(self):
        return self.batch(0, 0, 4)


def test_reading_hides_behind_a_slower_step():
    feed, waits = Feed(Slow(), 0, 4, steps=100), []
    for step in range(8):
        began = time.perf_counter()
        feed.stacked(step)
        waits.append(time.perf_counter() - began)
        time.sleep(0.05)
    # The first waits for its own reading; later ones were there. Alone, each would take 0.03 s.
    assert np.median(waits[1:]) < 0.005


def test_an_image_that_cannot_be_read_is_reported_by_the_step_that_needs_it():
    feed = Feed(Slow(), 0, 4, steps=100)
    feed.stacked(88)
    feed.stacked(89)
    with pytest.raises(DataError, match="image 90 is broken"):
        feed.stacked(90)


def test_nothing_is_left_running_when_a_feed_is_dropped():
    before = threading.active_count()
    feed = Feed(Slow(), 0, 4, steps=100)
    feed.stacked(0)
    del feed
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before
