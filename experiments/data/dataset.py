"""What a training set is: named images with labels, and the batch of any step as a pure function of the seed.

Where the images come from is each dataset's own module; nothing here reads a file or needs JAX.
"""

import hashlib
from functools import lru_cache
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class DataError(ValueError):
    """A dataset cannot be read or used; the message says what, where, and what fixes it."""


class Batch(NamedTuple):
    """`images` float32 (B, H, W, C), pixels in [-1, 1] or scaled latents; `labels` int32 (B,) in [0, classes)."""

    images: NDArray[np.float32]
    labels: NDArray[np.int32]


WHOLE = slice(None)
"""Every row of a batch."""


class Dataset(Protocol):
    """Everything training and evaluation may ask of a dataset."""

    @property
    def name(self) -> str:
        """The name that a spec uses."""

    @property
    def classes(self) -> int:
        """Number of labels."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of every image, every label and the split."""

    @property
    def train_size(self) -> int:
        """Number of images that batches are drawn from."""

    @property
    def labels(self) -> NDArray[np.int32]:
        """The label of every image, in the source's own order, without reading images."""

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """The batch of `size` images for `step` (from 0): the same arguments always give the same batch."""

    def heldout(self) -> Batch:
        """Every image that no batch contains."""

    def all(self) -> Batch:
        """Every image, in the source's own order."""


@runtime_checkable
class Divisible(Protocol):
    """A dataset that can read some rows of a batch without the others, as each host of many wants to."""

    def batch(self, seed: int, step: int, size: int, rows: slice = WHOLE) -> Batch:
        """Those rows of the batch of a step."""

    def batch_labels(self, seed: int, step: int, size: int) -> NDArray[np.int32]:
        """The labels of a batch, without reading its images."""


class InMemoryDataset:
    """A dataset whose arrays fit in memory; images not named in `heldout` are for training.

    Raises DataError when images and labels disagree in length, or a label or pixel is out of range.
    """

    def __init__(self, name: str, classes: int, everything: Batch, heldout: NDArray[np.int64]) -> None:
        _check(name, classes, everything)
        self.name = name
        self.classes = classes
        self.labels = everything.labels
        self._everything = everything
        self._heldout = heldout
        self._train = np.setdiff1d(np.arange(len(everything.labels)), heldout)
        self.fingerprint = array_sha256(everything.images, everything.labels, heldout)

    @property
    def shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self._everything.images.shape
        return height, width, channels

    @property
    def train_size(self) -> int:
        return len(self._train)

    def batch(self, seed: int, step: int, size: int) -> Batch:
        return self._take(self._train[batch_positions(seed, step, size, self.train_size)])

    def train(self) -> Batch:
        """Every training image once, in the source's own order."""
        return self._take(self._train)

    def heldout(self) -> Batch:
        return self._take(self._heldout)

    def all(self) -> Batch:
        return self._everything

    def _take(self, indices: NDArray[np.int64]) -> Batch:
        return Batch(self._everything.images[indices], self._everything.labels[indices])


def batch_positions(seed: int, step: int, size: int, train_size: int) -> NDArray[np.int64]:
    """Positions in the training set, (size,), of the images of one step.

    Step s takes items s*size … (s+1)*size-1 of an endless sequence of shuffled epochs, so a batch may span two epochs
    and every image appears once in each. `seed` is in [0, 2^64).
    """
    items = np.arange(step * size, (step + 1) * size)
    epochs, offsets = np.divmod(items, train_size)
    positions = np.empty(size, np.int64)
    for epoch in range(epochs[0], epochs[-1] + 1):
        chosen = epochs == epoch
        positions[chosen] = epoch_order(seed, epoch, train_size)[offsets[chosen]]
    return positions


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, train_size: int) -> NDArray[np.int64]:
    """The permutation of `range(train_size)` that epoch `epoch` (from 0) walks; read-only.

    Sorts raw Philox output, whose stream NumPy keeps fixed between versions (NEP 19); `Generator.permutation` is not.
    """
    key = np.array([seed, epoch], dtype=np.uint64)
    order = np.argsort(np.random.Philox(key=key).random_raw(train_size), kind="stable")
    order.flags.writeable = False
    return order


def array_sha256(*arrays: np.ndarray) -> str:
    """SHA-256 in hex of the types, shapes and bytes of the arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _check(name: str, classes: int, batch: Batch) -> None:
    images, labels = batch
    if images.ndim != 4 or len(images) != len(labels) or not len(labels):
        raise DataError(f"dataset {name}: images {images.shape} and labels {labels.shape}; expected (N, H, W, C), (N,)")
    if not np.all(np.abs(images) <= 1):
        raise DataError(f"dataset {name}: pixels reach from {images.min()} to {images.max()}; allowed is -1 to 1")
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"dataset {name}: labels reach from {labels.min()} to {labels.max()}; allowed is 0 to {classes - 1}"
        )
