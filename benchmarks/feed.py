"""How many latents, or images, a second the data feed of one host gives, on so many cores, from a disk.

    python benchmarks/feed.py                        # 8 shards of 1,024 latents, one core, then two; a minute
    python benchmarks/feed.py --images               # a folder of JPEGs of ImageNet's usual size, for pixels
    python benchmarks/feed.py --shards 1 --batches 4 # a quick look

Shards are of real size: moments of 32 x 32 x 4 latents, as they are and flipped, 64 KiB an image. A host of
several reads only its own rows of each batch. "First touch" reads and checks each shard once, as every start of a run
does: from the disk, and from the memory that the system keeps of it. Rates are a second of the clock, to be read on an
idle machine, and a second of the processors; "MB of shards" is what is read and checked, a second of either, in the
time that a first touch takes longer than the same images do later (`plan.read_mb_per_s`).
"""

import argparse
import importlib
import io
import os
import tempfile
import time
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


Timed = tuple[float, float]
"""Seconds of the clock, and of the processors."""


def measured(dataset: Dataset, rows: int, batches: int) -> tuple[Timed, Timed]:
    """Of an image at the first touch of a dataset that nothing was read of, and later; `rows` of a batch are read."""
    feed = Feed(dataset, 0, BATCH, 2 * batches, rows=slice(0, rows))
    return _timed(feed, range(batches), rows), _timed(feed, range(batches, 2 * batches), rows)


def _timed(feed: Feed, steps: range, rows: int) -> Timed:
    began, cpu, done = time.perf_counter(), time.process_time(), len(steps) * rows
    for step in steps:
        feed.stacked(step)
    return (time.perf_counter() - began) / done, (time.process_time() - cpu) / done


def forgotten(folder: Path) -> None:
    """Have the system drop what it keeps of the files in memory, so that they are read from the disk."""
    for file in folder.rglob("*"):
        if file.is_file():
            handle = os.open(file, os.O_RDONLY)
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def main() -> None:
    """Print a line for each number of cores, share of a batch, and pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", action="store_true", help="JPEGs instead of latents")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--batches", type=int, default=128, help="of 256, in each pass")
    parser.add_argument("--folder", help="where to make the data; default: the system's temporary folder")
    args = parser.parse_args()
    importlib.import_module("grain")  # two seconds, which are no part of a first touch
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        place = Path(folder) / "data"
        made = images(place, 512) if args.images else latents(place, args.shards)
        size = sum(file.stat().st_size for file in place.rglob("*.npy")) / 1e6
        print(
            f"{'cores':>5}  {'rows of 256':>11}  {'pass':<20}  {'a second':>9}  {'a processor second':>18}  "
            f"{'MB of shards':>12}"
        )
        for count in (1, 2) if len(cores) > 1 else (1,):
            os.sched_setaffinity(0, cores[:count])
            for rows in (BATCH, BATCH // 4):
                for where in ("disk", "memory"):
                    if where == "disk":
                        forgotten(place)
                    fresh = ImageFolder(place, 256) if args.images else LatentFolder("latents", place)
                    first, later = measured(fresh, rows, args.batches)
                    more = [(one - other) * args.batches * rows for one, other in zip(first, later, strict=True)]
                    checked = ", ".join(f"{size / seconds:,.0f}" for seconds in more if size and seconds > 0)
                    _show(count, rows, f"first touch, {where}", first, f"{checked:>12}")
                _show(count, rows, "steady", later)
        if not args.images:
            print(f"{size:,.0f} MB of shards; {len(made.labels):,} latents")


def _show(cores: int, rows: int, name: str, timed: Timed, checked: str = "") -> None:
    print(f"{cores:>5}  {rows:>11}  {name:<20}  {1 / timed[0]:>9,.0f}  {1 / timed[1]:>18,.0f}  {checked}".rstrip())


if __name__ == "__main__":
    main()
