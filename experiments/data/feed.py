"""A run's batches in order, read ahead by threads while the device works, each host reading only its own rows.

What a batch holds is the dataset's: a pure function of seed and step. So a feed may start anywhere, and its batches are
bit for bit those that `dataset.batch` gives.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import WHOLE, Dataset, Divisible, InMemoryDataset

Stacked = tuple[NDArray[np.float32], NDArray[np.int32]]
"""Images (K, B, H, W, C) and labels (K, B) of K steps."""

THREADS = 8
AHEAD_BYTES = 1 << 28
"""How much is read ahead at most, beyond the two calls that keep a device busy."""


class Feed:
    """Batches of `size` images for steps 0 … `steps`, `per_call` stacked in each.

    Of images only `rows` of each batch are read, and the others are 0; labels are whole. Datasets in memory are read
    when they are asked for, all others ahead, by grain.
    """

    def __init__(
        self, dataset: Dataset, seed: int, size: int, steps: int, per_call: int = 1, rows: slice = WHOLE
    ) -> None:
        self._calls = _Calls(dataset, seed, size, steps, per_call, rows)
        self._next = -1
        self._ahead: Iterator[Stacked] = iter(())

    def stacked(self, first: int) -> Stacked:
        """The batches of the call that begins with step `first`; calls in order cost least."""
        call = first // self._calls.per_call
        if isinstance(self._calls.dataset, InMemoryDataset):
            return self._calls[call]
        if call != self._next:
            self._ahead = _reading_ahead(self._calls, call)
        self._next = call + 1
        return next(self._ahead)


class _Calls:
    """The stacked batches of every call of a run, as a source that grain reads in any order."""

    def __init__(self, dataset: Dataset, seed: int, size: int, steps: int, per_call: int, rows: slice) -> None:
        self.dataset, self.seed, self.size, self.per_call, self.rows = dataset, seed, size, per_call, rows
        self._length = steps // per_call

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, call: int) -> Stacked:
        steps = range(call * self.per_call, (call + 1) * self.per_call)
        if self.rows != WHOLE and isinstance(self.dataset, Divisible):
            return self._own_rows(self.dataset, steps)
        batches = [self.dataset.batch(self.seed, step, self.size) for step in steps]
        return np.stack([batch.images for batch in batches]), np.stack([batch.labels for batch in batches])

    def bytes(self) -> int:
        """Size of one call's images."""
        return self.per_call * self.size * int(np.prod(self.dataset.shape)) * 4

    def _own_rows(self, dataset: Divisible, steps: range) -> Stacked:
        images = np.zeros((len(steps), self.size, *self.dataset.shape), np.float32)
        labels = np.empty((len(steps), self.size), np.int32)
        for place, step in enumerate(steps):
            images[place, self.rows] = dataset.batch(self.seed, step, self.size, self.rows).images
            labels[place] = dataset.batch_labels(self.seed, step, self.size)
        return images, labels


def _reading_ahead(calls: _Calls, first: int) -> Iterator[Stacked]:
    import grain  # takes a second, which datasets in memory need not wait for

    buffer = max(2, min(2 * THREADS, AHEAD_BYTES // calls.bytes()))
    options = grain.ReadOptions(num_threads=min(THREADS, buffer), prefetch_buffer_size=buffer)
    return iter(grain.MapDataset.source(calls)[first:].to_iter_dataset(options))
