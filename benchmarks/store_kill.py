"""A run whose trainer, and the compaction beside it, are killed at random moments, compared with one left in peace.

    python benchmarks/store_kill.py                            100 kills
    python benchmarks/store_kill.py --kills 10                 a little more than a minute

Goal: no reader error, and in the end a read view equal to that of an undisturbed run, bit for bit (apart from which
attempt wrote a row, and when). After each kill the view must have no gap and no key twice.
"""

import argparse
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import pyarrow as pa

from dit_grid.experiments.store import Store, newest_live
from dit_grid.experiments.store.compaction import collect, compact

RUN = "b-4-3f9c2a"
CHECKPOINT_EVERY = 50
GRACE_S = 0.2
"""Longer than a file is half-written, and far shorter than the hour after which a user's clean-up takes it."""
STEP_S = 0.004
"""An update takes so long that the run is not over before the last kill."""


def train(where: str, last: int, begun: Event | None = None, step_s: float = STEP_S) -> None:
    """Train as a trainer does: rows are a function of the step, flushed before each checkpoint (an empty folder)."""
    store = Store.open(where)
    root = Path(store.paths.full(store.paths.checkpoints(RUN)))
    found = [(int(p.parent.name[1:]), int(p.name[1:])) for p in root.glob("a*/s*")]
    source, step = newest_live(found, store.resume_steps(RUN)) or (None, 0)
    attempt = store.begin_attempt(RUN, step, resumed_attempt=source)
    writer = store.writer(attempt, rows_per_flush=7)
    if begun:
        begun.set()
    for step in range(attempt.resume_step + 1, last + 1):
        time.sleep(step_s)
        writer.train({"step": step, "loss": 1.0 / step})
        if step % 10 == 0:
            writer.eval({"step": step, "metric": "fid", "protocol": "p", "value": 100.0 / step})
        if step % CHECKPOINT_EVERY == 0 or step == last:
            writer.flush()
            Path(store.paths.full(store.paths.checkpoint(RUN, attempt.number, step))).mkdir(parents=True)
    store.end_attempt(attempt, "done")


def tidy(where: str, last: int, begun: Event) -> None:
    """Compact and clean up without end, with little grace for readers; `last` is of no interest here."""
    store = Store.open(where)
    begun.set()
    while True:
        compact(store)
        collect(store, dry_run=False, grace_s=GRACE_S)


def view(store: Store) -> list[pa.Table]:
    """The rows that count, without what tells one attempt from another."""
    return [table.drop_columns(["attempt", "wall_unix_s"]) for table in (store.train(), store.evals())]


def disturb(where: str, kills: int, last: int) -> Counter[str]:
    """Start trainer and compaction, kill one or the other at a random time of its work, look, and start it again.

    Returns how often each was killed while it was at work.
    """
    context = multiprocessing.get_context("spawn")
    store = Store.open(where)
    targets = {"trainer": train, "compaction": tidy}
    running: dict[str, SpawnProcess] = {}
    killed: Counter[str] = Counter()
    for kill in range(kills):
        for name, target in targets.items():
            if name not in running or not running[name].is_alive():
                begun = context.Event()
                running[name] = context.Process(target=target, args=(where, last, begun))
                running[name].start()
                if not begun.wait(120):
                    raise SystemExit(f"the {name} did not begin within two minutes")
        time.sleep(random.Random(kill).random() * 1.5)
        victim = random.Random(-kill).choice(sorted(running))
        killed[victim] += running[victim].is_alive()
        running[victim].kill()
        running[victim].join()
        steps = store.train()["step"].to_pylist()
        assert steps == list(range(1, len(steps) + 1)), f"kill {kill}: a gap or a doubled step"
    for process in running.values():
        process.kill()
        process.join()
    return killed


def main() -> None:
    """Print how often each was killed, and whether the view is that of an undisturbed run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--last", type=int, default=20_000, help="updates of the run")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        disturbed, peaceful = (Store.create(f"{folder}/{name}") for name in ("disturbed", "peaceful"))
        began = time.monotonic()
        killed = disturb(disturbed.paths.root, args.kills, args.last)
        wall_s = time.monotonic() - began
        attempts = disturbed.states()[RUN].attempt
        for store in (disturbed, peaceful):
            train(store.paths.root, args.last, step_s=0.0)
        same = all(a.equals(b) for a, b in zip(view(disturbed), view(peaceful), strict=True))
        print(
            f"{args.kills} kills, at work the trainer {killed['trainer']} and the compaction {killed['compaction']} "
            f"times; {attempts} attempts, {args.last} updates: no reader error; {wall_s / args.kills:.1f} s a kill"
        )
        print(f"view equal to an undisturbed run's: {same}")


if __name__ == "__main__":
    main()
