"""How many latents, or images, a second the data feed of one host gives, on so many cores, from a disk.

    python benchmarks/feed.py                        # 8 shards of 1,024 latents, one core, then two; a minute
    python benchmarks/feed.py --images               # a folder of JPEGs of ImageNet's usual size, for pixels
    python benchmarks/feed.py --shards 1 --batches 4 # a quick look

Shards are of real size: moments of 32 x 32 x 4 latents, as they are and flipped, 64 KiB an image. A host of
several reads only its own rows of each batch. "First touch" reads and checks each shard once, as every start of a run
does. Rates are a second of the clock, to be read on an idle machine, and a second of the processors.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dit_grid.experiments.data import latent_shards
from dit_grid.experiments.data.dataset import Dataset
from dit_grid.experiments.data.encode import SHARD_IMAGES
from dit_grid.experiments.data.feed import Feed
from dit_grid.experiments.data.image_folder import ImageFolder
from dit_grid.experiments.data.latents import LatentFolder
from dit_grid.experiments.store.local import LocalFiles

BATCH = 256
JPEG = (500, 375)
"""Width and height that most images of ImageNet have."""


def latents(folder: Path, shards: int) -> LatentFolder:
    """A folder of so many shards of random moments, as `encode` writes them."""
    dice, files = np.random.default_rng(0), LocalFiles(str(folder))
    making = latent_shards.Making(256, "center-crop", "0" * 64)
    latent_shards.begin(files, latent_shards.Encoding(making, shards * SHARD_IMAGES, "0" * 64, ("one",), SHARD_IMAGES))
    records = []
    for index in range(shards):
        moments = dice.standard_normal((SHARD_IMAGES, 2, 32, 32, 8), dtype=np.float32)
        labels = np.zeros(SHARD_IMAGES, np.int32)
        records.append(latent_shards.write_shard(files, index, moments, labels, making, "0" * 64, ()))
    latent_shards.write_manifest(files, latent_shards.Manifest(("one",), tuple(records)))
    return LatentFolder("latents", folder)


def images(folder: Path, count: int) -> ImageFolder:
    """A folder of JPEGs of smooth noise."""
    from PIL import Image

    dice = np.random.default_rng(0)
    (folder / "one").mkdir(parents=True)
    for number in range(count):
        coarse = Image.fromarray(dice.integers(0, 256, (24, 32, 3), np.uint8))
        content = io.BytesIO()
        coarse.resize(JPEG, Image.Resampling.BICUBIC).save(content, "JPEG", quality=90)
        (folder / "one" / f"{number}.jpg").write_bytes(content.getvalue())
    return ImageFolder(folder, 256)


def measured(dataset: Dataset, rows: int, batches: int) -> Iterator[tuple[str, float, float]]:
    """What was timed, seconds of the clock, and of the processors, an image; `rows` of each batch are read."""
    feed = Feed(dataset, 0, BATCH, 2 * batches, rows=slice(0, rows))
    for name, first in (("first touch", 0), ("steady", batches)):
        began, cpu = time.perf_counter(), time.process_time()
        for step in range(first, first + batches):
            feed.stacked(step)
        done = batches * rows
        yield name, (time.perf_counter() - began) / done, (time.process_time() - cpu) / done


def main() -> None:
    """Print a line for each number of cores, share of a batch, and pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", action="store_true", help="JPEGs instead of latents")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--batches", type=int, default=128, help="of 256, in each pass")
    parser.add_argument("--folder", help="where to make the data; default: the system's temporary folder")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        place = Path(folder) / "data"
        made = images(place, 512) if args.images else latents(place, args.shards)
        print(f"{'cores':>5}  {'rows of 256':>11}  {'pass':<11}  {'a second':>9}  {'a processor second':>18}")
        for count in (1, 2) if len(cores) > 1 else (1,):
            os.sched_setaffinity(0, cores[:count])
            for rows in (BATCH, BATCH // 4):
                fresh = ImageFolder(place, 256) if args.images else LatentFolder("latents", place)
                for name, wall_s, cpu_s in measured(fresh, rows, args.batches):
                    print(f"{count:>5}  {rows:>11}  {name:<11}  {1 / wall_s:>9,.0f}  {1 / cpu_s:>18,.0f}")
        if not args.images:
            size = sum(file.stat().st_size for file in place.iterdir())
            print(f"{size / 1e6:,.0f} MB of shards; {len(made.labels):,} latents")


if __name__ == "__main__":
    main()
