"""CPU seconds to read a large store: the whole table into pandas, the state of every run, one run's history.

    python benchmarks/store_read.py                            1 M rows in 2,000 segments, before and after compaction
    python benchmarks/store_read.py --runs 1000 --segments 20  10 M rows of 1,000 runs (minutes to write)

Goals: 1 M rows to pandas, deduplicated, 1.5 s CPU, compacted 0.5 s; with 10 M rows status in 1 s, one run's history in
50 ms compacted. Figures are process CPU time, the best of three, so other programs on the machine matter less.
"""

import argparse
import tempfile
import time
from collections.abc import Callable

import numpy as np

from dit_grid.experiments.store import Store
from dit_grid.experiments.store.compaction import collect, compact

VALUES = ("loss", "mse", "vb", "grad_norm", "param_norm", "learning_rate", "steps_per_s", "mfu", "data_wait_s")


def fill(store: Store, runs: int, segments: int, rows: int) -> None:
    numbers = np.random.default_rng(0).normal(size=(rows, len(VALUES))).tolist()
    for run in range(runs):
        store.add_run({"run_id": f"run-{run}", "spec": "{}"})
        attempt = store.begin_attempt(f"run-{run}", 0)
        with store.writer(attempt, rows_per_flush=rows, flush_s=1e9) as writer:
            for segment in range(segments):
                for row, values in enumerate(numbers):
                    writer.train({"step": segment * rows + row + 1, **dict(zip(VALUES, values, strict=True))})
        store.end_attempt(attempt, "done")


def measure(what: str, action: Callable[[], object], times: int = 3) -> None:
    used = []
    for _ in range(times):
        before = time.process_time()
        action()
        used.append(time.process_time() - before)
    print(f"{what:<44} {min(used):8.3f} s CPU")


def read(where: str, when: str) -> None:
    measure(f"{when}: train() to pandas", lambda: Store.open(where).train().to_pandas())
    measure(f"{when}: status (states, runs, latest_train)", lambda: status(Store.open(where)))
    measure(f"{when}: one run's history to pandas", lambda: Store.open(where).train(["run-0"]).to_pandas())


def status(store: Store) -> tuple[object, ...]:
    facts = store.runs(columns=["model", "steps", "batch"])
    return store.states(), facts, store.latest_train(columns=["loss", "steps_per_s", "mfu", "wall_unix_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--segments", type=int, default=100)
    parser.add_argument("--rows", type=int, default=500)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(f"{folder}/store")
        fill(store, args.runs, args.segments, args.rows)
        print(f"{args.runs * args.segments * args.rows:,} rows in {args.runs * args.segments:,} segments")
        read(store.paths.root, "segments")
        measure("compact", lambda: compact(store), times=1)
        collect(store, dry_run=False, grace_s=-1.0)
        read(store.paths.root, "compacted")


if __name__ == "__main__":
    main()
