"""A folder of encoded latents as a dataset: every use of an image draws its latents, and its flip, afresh.

Shards are mapped into memory and read where a batch needs them; making them is `encode`.
"""

import hashlib
import json
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import Batch, DataError, batch_positions, epoch_order
from dit_grid.experiments.data.latent_shards import labels_path, moments_path, read_manifest

LATENT_SCALE = np.float32(0.18215)
"""What diffusion multiplies latents by (Rombach et al. 2022; the same for every VAE that DiT uses)."""

_DRAWS = 1 << 63
"""Set in the key of draws, so that they never share a stream with the order of an epoch."""


class LatentFolder:
    """Latents below a folder, sampled and scaled: `shape` is that of a latent, and values are not bound to [-1, 1].

    `heldout_images` of them, the same for every seed, are held out. Raises DataError for a folder that is unfinished,
    lacks a shard, or has fewer images.
    """

    def __init__(self, name: str, folder: Path, heldout_images: int = 0) -> None:
        self.manifest = read_manifest(folder)
        missing = [s.index for s in self.manifest.shards if not moments_path(folder, s.index).is_file()]
        if missing:
            raise DataError(f"{folder}: shards {missing[:5]} are missing; copy them or run `dit-grid encode` again")
        self._moments = [np.load(moments_path(folder, s.index), mmap_mode="r") for s in self.manifest.shards]
        self.labels = np.concatenate([np.load(labels_path(folder, s.index)) for s in self.manifest.shards])
        self._starts = np.cumsum([0, *(len(moments) for moments in self._moments)])
        total = len(self.labels)
        if not 0 <= heldout_images < total:
            raise DataError(f"{folder}: {heldout_images} latents to hold out of {total}; allowed is 0 to {total - 1}")
        order = epoch_order(0, 0, total)
        self._heldout, self._train = np.sort(order[:heldout_images]), np.sort(order[heldout_images:])
        self.name = name
        self.classes = len(self.manifest.class_names)
        self.train_size = len(self._train)

    @property
    def shape(self) -> tuple[int, int, int]:
        _, _, height, width, channels = self._moments[0].shape
        return height, width, channels // 2

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the manifest, which holds those of all shards, and of the split."""
        content = json.dumps([asdict(self.manifest), len(self._heldout)])
        return hashlib.sha256(content.encode()).hexdigest()

    def batch(self, seed: int, step: int, size: int) -> Batch:
        draws = np.random.Generator(np.random.Philox(key=np.array([seed, step | _DRAWS], np.uint64)))
        indices = self._train[batch_positions(seed, step, size, self.train_size)]
        moments = self._read(indices, flips=draws.integers(0, 2, size))
        mean, log_variance = np.split(moments, 2, axis=-1)
        latents = draws.standard_normal(mean.shape, np.float32)
        latents *= np.exp(log_variance / 2)
        latents += mean
        latents *= LATENT_SCALE
        return Batch(latents, self.labels[indices])

    def heldout(self) -> Batch:
        """Means of the held-out images, not flipped: nothing is drawn."""
        return self._means(self._heldout)

    def all(self) -> Batch:
        return self._means(np.arange(len(self.labels)))

    def _means(self, indices: NDArray[np.int64]) -> Batch:
        moments = self._read(indices, flips=np.zeros(len(indices), np.int64))
        return Batch(moments[..., : self.shape[2]] * LATENT_SCALE, self.labels[indices])

    def _read(self, indices: NDArray[np.int64], flips: NDArray[np.int64]) -> NDArray[np.float32]:
        height, width, channels = self.shape
        found = np.empty((len(indices), height, width, 2 * channels), np.float32)
        shards = np.searchsorted(self._starts, indices, side="right") - 1
        # In the order in which they lie on disk.
        for row in np.argsort(indices, kind="stable"):
            shard = shards[row]
            found[row] = self._moments[shard][indices[row] - self._starts[shard], flips[row]]
        return found
