"""Rows a second that many processes commit to one store on a disk, and whether each is read exactly once.

    python benchmarks/store_throughput.py                      12 processes x 200 flushes x 500 rows, half a minute
    python benchmarks/store_throughput.py --flushes 5          a quick look

Goal on two quiet cores: 0 lost, 0 doubled, 50,000 rows/s or more. Each flush is an fsync of a file and of its folder,
so the disk matters: give another one with --folder.
"""

import argparse
import multiprocessing
import tempfile
import time
from multiprocessing.synchronize import Barrier

import numpy as np

from dit_grid.experiments.store import Store

VALUES = ("loss", "mse", "vb", "grad_norm", "param_norm", "learning_rate", "steps_per_s", "mfu", "data_wait_s")


def write(where: str, run: int, flushes: int, rows: int, start: Barrier) -> None:
    """One trainer's worth of rows: distinct numbers in every column, a flush every `rows`."""
    store = Store.open(where)
    numbers = np.random.default_rng(run).normal(size=(rows, len(VALUES))).tolist()
    attempt = store.begin_attempt(f"run-{run}", 0)
    start.wait()
    with store.writer(attempt, rows_per_flush=rows, flush_s=1e9) as writer:
        for flush in range(flushes):
            for row, values in enumerate(numbers):
                writer.train({"step": flush * rows + row + 1, **dict(zip(VALUES, values, strict=True))})


def main() -> None:
    """Write from all processes at once, then print the rate and what was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=12)
    parser.add_argument("--flushes", type=int, default=200)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--folder", help="where to make the store; default: the system's temporary folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        store = Store.create(f"{folder}/store")
        context = multiprocessing.get_context("spawn")
        start = context.Barrier(args.processes + 1)
        work = [(store.paths.root, run, args.flushes, args.rows, start) for run in range(args.processes)]
        processes = [context.Process(target=write, args=one) for one in work]
        for process in processes:
            process.start()
        start.wait()
        began = time.monotonic()
        for process in processes:
            process.join()
        wall_s = time.monotonic() - began
        expected = args.processes * args.flushes * args.rows
        view = store.train()
        keys = set(zip(view["run_id"].to_pylist(), view["step"].to_pylist(), strict=True))
        print(f"{expected:,} rows in {wall_s:.1f} s: {expected / wall_s:,.0f} rows/s")
        print(f"lost {expected - len(keys)}, doubled {view.num_rows - len(keys)}")


if __name__ == "__main__":
    main()
