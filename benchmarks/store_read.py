"""CPU seconds to read a large store: the whole table into pandas, the state of every run, one run's history.

    python benchmarks/store_read.py                            1 M rows in 2,000 segments, before and after compaction
    python benchmarks/store_read.py --runs 1000 --segments 20  10 M rows of 1,000 runs: 15 minutes to write, busy cores
    python benchmarks/store_read.py … --folder FOLDER          keep the stores, 1.1 GB; read them again in a minute

Goals: 1 M rows to pandas, deduplicated, 1.5 s CPU, compacted 0.5 s; with 10 M rows status in 1 s, one run's history in
50 ms compacted. Figures are CPU and wall-clock time, each the best of three; of the command, with Python's start.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dit_grid.experiments.store import Store
from dit_grid.experiments.store.compaction import collect, compact

VALUES = ("loss", "mse", "vb", "grad_norm", "param_norm", "learning_rate", "steps_per_s", "mfu", "data_wait_s")


def fill(store: Store, runs: int, segments: int, rows: int) -> None:
    """Write the rows as trainers do, a segment a flush; every run is done, and its end says where it stands."""
    numbers = np.random.default_rng(0).normal(size=(rows, len(VALUES))).tolist()
    for run in range(runs):
        store.add_run({"run_id": f"run-{run}", "spec": "{}"})
        attempt = store.begin_attempt(f"run-{run}", 0)
        with store.writer(attempt, rows_per_flush=rows, flush_s=1e9) as writer:
            for segment in range(segments):
                for row, values in enumerate(numbers):
                    writer.train({"step": segment * rows + row + 1, **dict(zip(VALUES, values, strict=True))})
        last = {"step": segments * rows, "steps_per_s": 1.0, "mfu": None, "loss": numbers[-1][0]}
        said = {"model": "S/2", "steps": segments * rows, "metrics": {}, "device": "cpu", **last}
        store.end_attempt(attempt, "done", {"step": segments * rows, "summary": said})


def cpu_s() -> float:
    """CPU seconds of this process and of those that it started and waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measure(what: str, action: Callable[[], object], times: int = 3) -> None:
    """Print the least CPU seconds, and wall-clock seconds, that the action took."""
    used = []
    for _ in range(times):
        before, began = cpu_s(), time.monotonic()
        action()
        used.append((cpu_s() - before, time.monotonic() - began))
    print(f"{what:<44} {min(used)[0]:8.3f} s CPU {min(wall for _, wall in used):8.3f} s wall", flush=True)


def read(where: str, when: str) -> None:
    """Measure the three reads of the store as it is."""
    command = [sys.executable, "-m", "dit_grid.orchestrator", "status", where, "--json"]
    measure(
        f"{when}: `dit-grid status`, start included",
        lambda: subprocess.run(command, capture_output=True, check=True),
    )
    measure(f"{when}: train() to pandas", lambda: Store.open(where).train().to_pandas())
    measure(f"{when}: status, were all at work", lambda: status(Store.open(where)))
    measure(f"{when}: one run's history to pandas", lambda: Store.open(where).train(["run-0"]).to_pandas())


def status(store: Store) -> tuple[object, ...]:
    """What a status needs of runs that are still at work: their states, facts and last rows."""
    facts = store.runs(columns=["model", "steps", "batch"])
    return store.states(), facts, store.latest_train(columns=["loss", "steps_per_s", "mfu", "wall_unix_s"])


def main() -> None:
    """Make the stores, or find them, and print what reading them takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--segments", type=int, default=100)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument(
        "--folder", type=Path, help="make the two stores here and keep them; read them if they are there"
    )
    args = parser.parse_args()
    with folder_for(args.folder) as folder:
        print(f"{args.runs * args.segments * args.rows:,} rows in {args.runs * args.segments:,} segments")
        for when in ("segments", "compacted"):
            if not (folder / when).is_dir():
                make(folder, when, args)
            read(str(folder / when), when)


@contextmanager
def folder_for(kept: Path | None) -> Iterator[Path]:
    """The folder for the stores; one of the system's, removed at the end, unless it is to be kept."""
    if kept:
        yield kept
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


def make(folder: Path, when: str, args: argparse.Namespace) -> None:
    """Make a store under a passing name, so that one left unfinished is not taken for whole."""
    unfinished = Path(tempfile.mkdtemp(dir=folder if folder.is_dir() else folder.parent, prefix="unfinished-"))
    if when == "segments":
        fill(Store.create(unfinished), args.runs, args.segments, args.rows)
    else:
        shutil.copytree(folder / "segments", unfinished, copy_function=os.link, dirs_exist_ok=True)
        store = Store.open(unfinished)
        measure("compact", lambda: compact(store), times=1)
        collect(store, dry_run=False, grace_s=-1.0)
    folder.mkdir(exist_ok=True)
    unfinished.rename(folder / when)


if __name__ == "__main__":
    main()
