"""What samples are asked to show is a function of the data and the setting, and mixes classes at every length."""

from types import SimpleNamespace

import numpy as np

from dit_grid.experiments.data.dataset import Batch, InMemoryDataset
from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.evaluation.sample_labels import names_of, sample_labels
from dit_grid.experiments.spec.measurement import EvalSetting


def dataset(labels):
    images = np.zeros((len(labels), 2, 2, 1), np.float32)
    return InMemoryDataset("x", 10, Batch(images, np.array(labels, np.int32)), np.array([], np.int64))


def labels_of(data, **fields):
    return sample_labels(data, EvalSetting(metrics=("fid",), **fields))


def test_uniform_labels_are_drawn_alike_from_all_classes_and_follow_the_seed():
    found = labels_of(digits(), samples=20_000, labels="uniform")
    counts = np.bincount(found, minlength=10)
    assert np.all(np.abs(counts - 2000) < 4.5 * np.sqrt(1800))  # 4.5 standard deviations
    assert len(set(counts)) > 5  # drawn, not dealt out
    assert np.array_equal(found[:50], labels_of(digits(), samples=50, labels="uniform"))
    assert not np.array_equal(found[:50], labels_of(digits(), samples=50, labels="uniform", seed=1))


def test_the_datas_own_mix_is_repeated_in_the_sources_order():
    found = labels_of(digits(), samples=2000)
    assert np.array_equal(found, np.resize(digits().labels, 2000))


def test_labels_that_lie_sorted_by_class_are_mixed_first():
    found = labels_of(dataset(np.repeat(np.arange(10), 300)), samples=1000)
    assert set(found[:100]) == set(range(10))
    assert np.abs(np.bincount(found, minlength=10) - 100).max() < 40
    assert np.array_equal(np.bincount(labels_of(dataset(np.repeat(np.arange(10), 300)), samples=3000)), [300] * 10)


def test_classes_are_called_as_the_data_calls_them():
    data = SimpleNamespace(class_names=("cat", "d\udce9g"))  # a name that is no UTF-8 comes so from a disk
    assert names_of(data, np.array([1, 0, 0], np.int32)).tolist() == ["d?g", "cat", "cat"]
    assert names_of(digits(), np.array([1], np.int32)) is None
