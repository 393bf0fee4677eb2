"""A folder of encoded latents as a dataset: every use of an image draws its latents, and its flip, afresh.

Shards are mapped into memory, or read from a bucket in pieces, where a batch needs them; making them is `encode`.
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import WHOLE, Batch, DataError, batch_positions, epoch_order
from dit_grid.experiments.data.latent_files import LatentFiles, latent_files
from dit_grid.experiments.data.latent_shards import plain

_DRAWS = 1 << 63
"""Set in the key of draws, so that they never share a stream with the order of an epoch."""


class LatentFolder:
    """Latents below a folder, sampled and multiplied by `scaling`: `shape` is that of a latent; values are unbounded.

    The folder is a path or gs://. `heldout_images` of them, the same for every seed, are held out. Raises DataError for
    a folder that is unfinished, lacks a shard, or has fewer images.
    """

    def __init__(self, name: str, folder: Path | str, heldout_images: int = 0) -> None:
        self._files: LatentFiles = latent_files(folder)
        self.manifest = self._files.manifest
        self.scaling = self.manifest.making.scaling
        self.labels = self._files.labels
        total = len(self.labels)
        if not 0 <= heldout_images < total:
            raise DataError(f"{folder}: {heldout_images} latents to hold out of {total}; allowed is 0 to {total - 1}")
        order = epoch_order(0, 0, total)
        self._heldout, self._train = np.sort(order[:heldout_images]), np.sort(order[heldout_images:])
        self.name = name
        self.class_names = self.manifest.class_names
        self.classes = len(self.class_names)
        self.train_size = len(self._train)

    @property
    def shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self._files.shape
        return height, width, channels // 2

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the manifest, which holds those of all shards, and of the split."""
        content = json.dumps([plain(self.manifest), len(self._heldout)])
        return hashlib.sha256(content.encode()).hexdigest()

    def batch(self, seed: int, step: int, size: int, rows: slice = WHOLE) -> Batch:
        """The batch of a step, or some rows of it: draws are each row's own, so that hosts read only their part."""
        indices = self._train[batch_positions(seed, step, size, self.train_size)][rows]
        flips, noise = self._draws(seed, step, range(size)[rows])
        moments = self._files.read(indices, flips)
        mean, log_variance = np.split(moments, 2, axis=-1)
        noise *= np.exp(log_variance / 2)
        noise += mean
        noise *= np.float32(self.scaling)
        return Batch(noise, self.labels[indices])

    def batch_labels(self, seed: int, step: int, size: int) -> NDArray[np.int32]:
        """The labels of a batch, without reading latents."""
        return self.labels[self._train[batch_positions(seed, step, size, self.train_size)]]

    def heldout(self) -> Batch:
        """Means of the held-out images, not flipped: nothing is drawn."""
        return self._means(self._heldout)

    def all(self) -> Batch:
        return self._means(np.arange(len(self.labels)))

    def _means(self, indices: NDArray[np.int64]) -> Batch:
        moments = self._files.read(indices, np.zeros(len(indices), np.int64))
        return Batch(moments[..., : self.shape[2]] * np.float32(self.scaling), self.labels[indices])

    def _draws(self, seed: int, step: int, rows: range) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Which view of the image, and the normal noise of its latents, for each row of a batch."""
        bits = np.random.Philox(key=np.array([seed, step | _DRAWS], np.uint64))
        draws, fresh = np.random.Generator(bits), bits.state  # setting its state is ten times as quick as making one
        flips, noise = np.empty(len(rows), np.int64), np.empty((len(rows), *self.shape), np.float32)
        for place, row in enumerate(rows):
            fresh["state"]["counter"][3] = row
            bits.state = fresh
            flips[place] = draws.integers(0, 2)
            draws.standard_normal(dtype=np.float32, out=noise[place])
        return flips, noise
