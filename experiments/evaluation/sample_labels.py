"""Which class each sample of an evaluation is asked to show.

How samples are drawn from labels is `evaluation`.
"""

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import Dataset, epoch_order
from dit_grid.experiments.spec.measurement import EvalSetting

_UNIFORM = (1 << 64) - 1
"""Second half of the key that uniform labels are drawn with; the seed is the first."""


def names_of(dataset: Dataset, labels: NDArray[np.int32]) -> NDArray[np.str_] | None:
    """Names (N,) of the classes of labels, as the folders of the data are called; None of data that has no names."""
    names: tuple[str, ...] = getattr(dataset, "class_names", ())
    if not names:
        return None
    return np.array([names[label].encode("utf-8", "replace").decode() for label in labels], np.str_)


def sample_labels(dataset: Dataset, setting: EvalSetting) -> NDArray[np.int32]:
    """Labels (N,) of the setting's samples, a function of the dataset and the setting alone.

    "uniform" draws each from all classes alike, independently, as DiT's published sampler does. "data" repeats the
    labels of the data, in an order that mixes classes: the source's own, or where that is sorted by class a fixed
    shuffle, since scores over consecutive blocks, and a sheet of the first few, must see all classes.
    """
    if setting.labels == "uniform":
        key = np.array([setting.seed, _UNIFORM], np.uint64)
        draws = np.random.Philox(key=key).random_raw(setting.samples)
        return (draws % np.uint64(dataset.classes)).astype(np.int32)
    labels = dataset.labels
    if len(labels) > 1 and bool(np.all(np.diff(labels) >= 0)):
        labels = labels[epoch_order(0, 0, len(labels))]
    return np.resize(labels, setting.samples)
