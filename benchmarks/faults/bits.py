"""Single bits in files, and the latents that they may lie in."""

import numpy as np

from dit_grid.experiments.data.latent_shards import Making, Manifest, write_manifest, write_shard
from dit_grid.experiments.store.files import open_files


def make_latents(folder):
    """Write two shards of random moments as `encode` does."""
    files, chance, making = open_files(str(folder)), np.random.default_rng(0), Making(32, "random", "00" * 32)
    files.prepare()
    moments = chance.standard_normal((2, 64, 2, 4, 4, 4)).astype(np.float32)
    labels = chance.integers(0, 3, (2, 64)).astype(np.int32)
    shards = [write_shard(files, i, moments[i], labels[i], making, "00" * 32, ()) for i in range(2)]
    write_manifest(files, Manifest(("a", "b", "c"), tuple(shards)))


def flip(path, chance):
    """Flip one bit of a file in place and return what flips it back."""
    place = chance.randrange(8 * path.stat().st_size)

    def turn():
        with path.open("r+b") as file:
            file.seek(place // 8)
            byte = file.read(1)[0] ^ (1 << place % 8)
            file.seek(place // 8)
            file.write(bytes([byte]))

    turn()
    return turn


def rows_of(content):
    """Return the rows of a segment's bytes, read with every checksum that it has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read().to_pylist()
