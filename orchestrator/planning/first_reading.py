"""How long runs wait while their hosts read shards of latents for the first time and check them, as each start has to.

A host reads a shard whole, and compares its SHA-256, before it uses any image of it (`experiments.data.latent_files`).
What the feed gives afterwards is a term of its own (`terms`).
"""

import math
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.latent_shards import MANIFEST, read_manifest
from dit_grid.experiments.data.registry import DATASETS
from dit_grid.experiments.spec import EvalSetting, PriceSpec, RunSpec
from dit_grid.experiments.spec.measurement import HELDOUT_LOSS

SHARD_IMAGES = 1024
"""Images of a shard, as `dit-grid encode` writes them."""
RGB = 3


class Shards(NamedTuple):
    """How many shards a run trains on, how large each is, and where their number is from."""

    number: int
    bytes_each: float
    source: str

    @property
    def gigabytes(self) -> float:
        """Return the size of all [GB]."""
        return self.number * self.bytes_each / 1e9


def trains_on_shards(run: RunSpec) -> bool:
    """Return whether the run reads latents from a folder, and not pixels or what comes with a package."""
    return run.data.path is not None and run.data.name not in DATASETS and run.model.channels != RGB


def shards_of(run: RunSpec, price: PriceSpec) -> Shards | None:
    """Return the shards of a run on latents; None where the folder is not on this disk and the spec says no number."""
    images, shards, source = _listed(run.data.path or "") or (price.images, None, "spec: plan.images")
    if not images:
        return None
    number = shards or -(-images // SHARD_IMAGES)
    return Shards(number, images / number * image_bytes(run), f"{images:,} images ({source})")


def image_bytes(run: RunSpec) -> int:
    """Return the bytes of an image in a shard: mean and log variance, as it is and flipped, in float32."""
    return 2 * 2 * run.model.channels * run.model.image_size**2 * 4


def waited_s(shards: Shards, price: PriceSpec, images_per_s: float, images: float) -> float:
    """Return how much longer a host is about its first `images`, of which it would use so many a second.

    They are drawn from all shards alike, so m of them need N (1 - exp(-m / N)) of N shards, each read in t seconds.
    Reading is behind what is used by N (1 - exp(-m / N)) t - m / images_per_s: at most where one more image brings less
    reading than use, at m = N log(images_per_s t).
    """
    n, shard_s = shards.number, shards.bytes_each / (price.read_mb_per_s * 1e6)
    at_most = n * math.log(max(images_per_s * shard_s, 1.0))
    m = min(at_most, images)
    return max(read_s(shards, price, m) - m / images_per_s, 0.0)


def read_s(shards: Shards, price: PriceSpec, images: float) -> float:
    """Return how long a host reads the shards that so many images, drawn from all alike, are in."""
    share = -math.expm1(-images / shards.number)
    return share * shards.gigabytes * 1e3 / price.read_mb_per_s


def heldout_s(run: RunSpec, price: PriceSpec, settings: Iterable[EvalSetting]) -> float:
    """Return how long a job of its own reads the shards of the images held out, where it measures their loss."""
    if not (trains_on_shards(run) and any(HELDOUT_LOSS in one.metrics for one in settings)):
        return 0.0
    shards = shards_of(run, price)
    return read_s(shards, price, run.data.heldout) if shards else 0.0


def _listed(path: str) -> tuple[int, int, str] | None:
    """Images and shards that the manifest of a folder on this disk lists, and where it lies; None without one."""
    manifest = Path(path) / MANIFEST
    with suppress(OSError, DataError):
        return *_counted(path, manifest.stat().st_mtime_ns), str(manifest)
    return None


@lru_cache(maxsize=8)
def _counted(path: str, _changed: int) -> tuple[int, int]:
    manifest = read_manifest(Path(path))
    return manifest.images, sum(shard.images > 0 for shard in manifest.shards)
