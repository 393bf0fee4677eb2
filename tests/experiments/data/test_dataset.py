"""Batches are a function of (seed, step): each epoch shows every image once, in an order that nothing else changes."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from dit_grid.experiments.data.dataset import Batch, DataError, InMemoryDataset, batch_positions, epoch_order
from dit_grid.experiments.data.registry import dataset_named


@given(st.integers(0, 2**64 - 1), st.integers(1, 40), st.integers(1, 60), st.integers(0, 5))
def test_every_epoch_shows_every_image_once_at_any_batch_size(seed, train_size, batch, epoch):
    steps = -(-(epoch + 1) * train_size // batch)
    walked = np.concatenate([batch_positions(seed, step, batch, train_size) for step in range(steps)])
    of_epoch = walked[epoch * train_size : (epoch + 1) * train_size]
    assert sorted(of_epoch) == list(range(train_size))


def test_a_batch_depends_on_no_batch_before_it():
    in_order = [batch_positions(1, step, 7, 20) for step in range(9)]
    epoch_order.cache_clear()
    alone = batch_positions(1, 8, 7, 20)
    assert np.array_equal(alone, in_order[8])


def test_seeds_and_epochs_differ():
    orders = [tuple(epoch_order(seed, epoch, 50)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4


def test_the_order_is_fixed_for_good():
    # Philox's raw stream is the same in every version of NumPy. Changing these numbers changes every finished run.
    assert list(epoch_order(3, 0, 6)) == [1, 5, 2, 4, 3, 0]


def small(**changed):
    images = np.zeros((4, 2, 2, 1), np.float32)
    values = {"images": images, "labels": np.array([0, 1, 0, 1], np.int32)} | changed
    return InMemoryDataset("small", 2, Batch(**values), np.array([3]))


def test_the_fingerprint_sees_a_pixel_a_label_and_the_split():
    other_image = np.zeros((4, 2, 2, 1), np.float32)
    other_image[0, 0, 0, 0] = 0.5
    others = [small(images=other_image), small(labels=np.array([1, 1, 0, 1], np.int32))]
    others.append(InMemoryDataset("small", 2, small().all(), np.array([2])))
    assert len({small().fingerprint, *(d.fingerprint for d in others)}) == 4
    assert small().fingerprint == small().fingerprint


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": np.array([0, 1], np.int32)}, r"images \(4, 2, 2, 1\) and labels \(2,\)"),
        ({"labels": np.array([0, 1, 2, 1], np.int32)}, "labels reach from 0 to 2; allowed is 0 to 1"),
        ({"images": np.full((4, 2, 2, 1), 255, np.float32)}, "pixels reach from 255.0 to 255.0; allowed is -1 to 1"),
        ({"images": np.full((4, 2, 2, 1), np.nan, np.float32)}, "pixels reach from nan"),
    ],
)
def test_arrays_that_are_no_dataset_are_refused(changed, message):
    with pytest.raises(DataError, match=message):
        small(**changed)


def test_a_misspelt_dataset_names_the_nearest():
    with pytest.raises(DataError, match=r"no dataset 'digit'; there is .*digits, or latents .*; did you mean digits\?"):
        dataset_named("digit")
