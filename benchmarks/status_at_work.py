"""`dit-grid status` of a store whose runs are all at work: the command as its user starts it.

    uv run python benchmarks/status_at_work.py             1,008 runs, 10 M rows: a minute, most of it to make them
    uv run python benchmarks/status_at_work.py --runs 24 --segments 2

One run's segments are written as its trainer does; the others have them by hard links, for a file's name says whose
rows it holds. Prints seconds by the clock and of a processor, the median of five.
"""

import argparse
import os
import socket
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from finished_10000 import MODELS, many, timed

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.spec.any_run import columns
from dit_grid.experiments.store import Attempt, Store

VALUES = ("loss", "mse", "vb", "grad_norm", "param_norm", "learning_rate", "steps_per_s", "mfu", "data_wait_s")
ROWS = 500
"""In a segment: what a writer flushes at once."""


def main() -> None:
    """Make the store and time the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_000, help="at least so many (default 1,000)")
    parser.add_argument("--segments", type=int, default=20, help="of 500 rows, a run (default 20)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        spec = load_spec(many(Path(scratch), -(-asked.runs // MODELS)))
        store, segments = Store.create(spec.store), list[Path]()
        for run in spec.runs:
            store.add_run(columns(run))
            facts = {"host": socket.gethostname(), "pid": os.getpid(), "device": "cpu", "started_unix_s": time.time()}
            attempt = store.begin_attempt(run.id, 0, facts)
            segments = segments or written(store, attempt, asked.segments)
            linked(segments, spec.runs[0].id, run.id)
        timed(["status", spec.store])  # which leaves its modules compiled
        times = [timed(["status", spec.store]) for _ in range(5)]
    seconds, cpu_s = map(median, zip(*times, strict=True))
    rows = len(spec.runs) * asked.segments * ROWS
    print(f"{len(spec.runs):,} runs at work, {rows:,} rows: dit-grid status {seconds:.2f} s ({cpu_s:.2f} s of CPU)")


def written(store: Store, attempt: Attempt, segments: int) -> list[Path]:
    """Write so many segments of noise; return their files."""
    numbers = np.random.default_rng(0).normal(size=(ROWS, len(VALUES))).tolist()
    with store.writer(attempt, rows_per_flush=ROWS, flush_s=1e9) as writer:
        for segment in range(segments):
            for row, values in enumerate(numbers):
                writer.train({"step": segment * ROWS + row + 1, **dict(zip(VALUES, values, strict=True))})
    return list(Path(store.paths.root, "train").rglob("*.parquet"))


def linked(segments: list[Path], owner: str, run_id: str) -> None:
    """Give the run the owner's segments too."""
    for path in segments if run_id != owner else ():
        there = Path(str(path).replace(owner, run_id))
        there.parent.mkdir(exist_ok=True)
        os.link(path, there)


if __name__ == "__main__":
    main()
