"""What it costs that every bit of a checkpoint is checked: writing and restoring with and without digests.

    python benchmarks/checkpoint_digests.py --mb 1000

Prints megabytes a second of hashing beside those of orbax's writing and reading of the same state, and the share that
hashing takes of the whole. It runs behind training, in the thread that waits for orbax, so a run waits for it only
where the next checkpoint is due before this one is marked.
"""

import argparse
import tempfile
import time

import jax.numpy as jnp
import numpy as np

from dit_grid.experiments.store import Store
from dit_grid.experiments.training.checkpoints import Checkpoints

RUN = "digests"


def main():
    """Write and restore one state, timing the digests apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=1000, help="megabytes of float32 parameters, in eight arrays")
    parser.add_argument("--folder", default=None, help="where; by default a temporary folder")
    options = parser.parse_args()
    rows = options.mb * 10**6 // 4 // 8 // 1000
    chance = np.random.default_rng(0)  # numbers that do not compress
    state = {f"array{i}": jnp.asarray(chance.standard_normal((rows, 1000), np.float32)) for i in range(8)}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = Store.create(f"{folder}/store")
        spent = {"digests": 0.0}
        digests = store.files.digests

        def timed(*given):
            began = time.perf_counter()
            found = digests(*given)
            spent["digests"] = time.perf_counter() - began
            return found

        store.files.digests = timed
        checkpoints = Checkpoints(store, RUN)
        attempt = store.begin_attempt(RUN, 0)
        began = time.perf_counter()
        checkpoints.save(attempt, 10, state)
        checkpoints.wait()
        told("write", options.mb, time.perf_counter() - began, spent["digests"])
        began = time.perf_counter()
        checkpoints.restore(1, 10, state)
        told("restore", options.mb, time.perf_counter() - began, spent["digests"])
        checkpoints.close()


def told(what, mb, whole_s, digests_s):
    """Print a line of the figures."""
    rest = whole_s - digests_s
    print(
        f"{what}: {mb} MB in {whole_s:.2f} s; digests {digests_s:.2f} s ({mb / digests_s:,.0f} MB/s), the rest "
        f"{rest:.2f} s ({mb / rest:,.0f} MB/s); share of digests {digests_s / whole_s:.0%}"
    )


if __name__ == "__main__":
    main()
