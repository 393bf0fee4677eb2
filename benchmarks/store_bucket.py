"""A store on gs:// over HTTP: time of an operation, numbers lost or doubled while uploads time out, and a rewound run.

    python benchmarks/store_bucket.py                          about a minute; starts and stops an emulator by itself
    python benchmarks/store_bucket.py --flushes 10             a quick look

Goals: an operation against an emulator in 100 ms or less; with 20 % of the PUTs cut off after they were carried out, 0
rows lost and 0 doubled; a run that logs 0-9, restarts at 5 and logs 5-14 reads as exactly 15 rows, the new values. The
time of an operation contains the emulator's own, a Python server of one process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dit_grid.experiments.store import Store

EMULATOR = Path(__file__).parents[1] / "tests" / "experiments" / "store" / "gcs_emulator.py"


def main() -> None:
    """Start the emulator and run the three measurements against it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--flushes", type=int, default=50)
    parser.add_argument("--rows", type=int, default=500, help="rows a flush")
    asked = parser.parse_args()
    with subprocess.Popen(
        [sys.executable, str(EMULATOR), "bucket"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as emulator:
        assert emulator.stdin is not None
        assert emulator.stdout is not None
        os.environ["STORAGE_EMULATOR_HOST"] = address = emulator.stdout.readline().strip()
        operations(Store.create("gs://bucket/operations"))
        rewound(Store.create("gs://bucket/rewound"))
        timed_out("gs://bucket/timed-out", address, asked.writers, asked.flushes, asked.rows)
        emulator.stdin.close()


def operations(store: Store) -> None:
    """Print the median and slowest of 50 of each operation, of 20 kB."""
    data = bytes(20_000)
    for name, operation in {
        "create": lambda n: store.files.create(f"train/run/a000001-n{n:08d}.parquet", data),
        "read": lambda n: store.files.read(f"train/run/a000001-n{n:08d}.parquet"),
        "list": lambda n: store.files.walk("train/run"),
        "delete": lambda n: store.files.delete(f"train/run/a000001-n{n:08d}.parquet"),
    }.items():
        times = [seconds(operation, n) for n in range(50)]
        print(f"{name:8} median {1000 * statistics.median(times):6.1f} ms, slowest {1000 * max(times):6.1f} ms")


def seconds(operation: Callable[[int], object], number: int) -> float:
    """Wall-clock seconds of one operation."""
    began = time.perf_counter()
    operation(number)
    return time.perf_counter() - began


def rewound(store: Store) -> None:
    """Log steps 0-9, restart at the checkpoint of step 4, log 5-14."""
    for resume, steps, value in ((0, range(10), "old"), (4, range(5, 15), "new")):
        with store.writer(store.begin_attempt("run", resume)) as writer:
            for step in steps:
                writer.train({"step": step, "loss": 1.0 if value == "old" else 2.0})
    losses = store.train()["loss"].to_pylist()
    new = losses == [1.0] * 5 + [2.0] * 10
    print(f"log 0-9, restart at 5, log 5-14: {len(losses)} rows, {'the new values' if new else f'WRONG: {losses}'}")


def timed_out(where: str, address: str, writers: int, flushes: int, rows: int) -> None:
    """Write from several threads while one PUT in five loses its answer after it was carried out."""
    Store.create(where)
    rule = {"method": "POST", "kind": "lost", "share": 0.2, "times": sys.maxsize}
    control(address, "/_faults", [rule])
    began = time.perf_counter()
    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(lambda run: write(where, run, flushes, rows), range(writers)))
    elapsed = time.perf_counter() - began
    struck = control(address, "/_count").get("lost", 0)
    control(address, "/_faults", [])
    store = Store.open(where)
    lost = doubled = 0
    for run in range(writers):
        steps = store.train([f"run-{run}"], columns=["loss"])["step"].to_pylist()
        lost += flushes * rows - len(set(steps))
        doubled += len(steps) - len(set(steps))
    print(
        f"20 % of PUTs time out after the commit: {struck} did; of {writers * flushes * rows} rows {lost} lost, "
        f"{doubled} doubled; {elapsed:.1f} s with the waits before repetitions"
    )


def write(where: str, run: int, flushes: int, rows: int) -> None:
    """One run's rows, as a trainer writes them."""
    store = Store.open(where)
    with store.writer(store.begin_attempt(f"run-{run}", 0), rows_per_flush=rows, flush_s=1e9) as writer:
        for step in range(1, flushes * rows + 1):
            writer.train({"step": step, "loss": 1 / step})


def control(address: str, path: str, rules: list[dict[str, object]] | None = None) -> dict[str, int]:
    """The emulator's answer to a request about its faults."""
    data = None if rules is None else json.dumps(rules).encode()
    with urllib.request.urlopen(urllib.request.Request(address + path, data), timeout=10) as answer:
        return dict(json.load(answer))


if __name__ == "__main__":
    main()
