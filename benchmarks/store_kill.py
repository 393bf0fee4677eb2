"""A run whose trainer, and the compaction beside it, are killed at random moments, compared with one left in peace.

    python benchmarks/store_kill.py                            100 kills, about three minutes
    python benchmarks/store_kill.py --kills 5

Goal: no reader error, and in the end a read view equal to that of an undisturbed run, bit for bit (apart from which
attempt wrote a row, and when). After each kill the view must have no gap and no key twice.
"""

import argparse
import multiprocessing
import random
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from dit_grid.experiments.store import Store, newest_live
from dit_grid.experiments.store.compaction import collect, compact

RUN = "b-4-3f9c2a"
CHECKPOINT_EVERY = 50


def train(where: str, last: int) -> None:
    """Train as a trainer does: rows are a function of the step, flushed before each checkpoint (an empty folder)."""
    store = Store.open(where)
    root = Path(store.paths.full(store.paths.checkpoints(RUN)))
    found = [(int(p.parent.name[1:]), int(p.name[1:])) for p in root.glob("a*/s*")]
    source, step = newest_live(found, store.resume_steps(RUN)) or (None, 0)
    attempt = store.begin_attempt(RUN, step, resumed_attempt=source)
    writer = store.writer(attempt, rows_per_flush=7)
    for step in range(attempt.resume_step + 1, last + 1):
        writer.train({"step": step, "loss": 1.0 / step})
        if step % 10 == 0:
            writer.eval({"step": step, "metric": "fid", "protocol": "p", "value": 100.0 / step})
        if step % CHECKPOINT_EVERY == 0 or step == last:
            writer.flush()
            Path(store.paths.full(store.paths.checkpoint(RUN, attempt.number, step))).mkdir(parents=True)
    store.end_attempt(attempt, "done")


def tidy(where: str) -> None:
    """Compact and clean up without end, without any grace for readers."""
    store = Store.open(where)
    while True:
        compact(store)
        collect(store, dry_run=False, grace_s=-1.0)


def view(store: Store) -> list[pa.Table]:
    return [table.drop_columns(["attempt", "wall_unix_s"]) for table in (store.train(), store.evals())]


def disturb(where: str, kills: int, last: int) -> None:
    """Start trainer and compaction, kill one or the other after a random time, look, and start it again."""
    context = multiprocessing.get_context("spawn")
    store = Store.open(where)
    targets = {"trainer": (train, (where, last)), "compaction": (tidy, (where,))}
    running = {}
    for kill in range(kills):
        for name, (target, arguments) in targets.items():
            if name not in running or not running[name].is_alive():
                running[name] = context.Process(target=target, args=arguments)
                running[name].start()
        while RUN not in store.states():  # on a busy machine the first trainer takes seconds to begin
            time.sleep(0.1)
        time.sleep(0.5 + random.Random(kill).random() * 1.5)
        victim = random.Random(-kill).choice(sorted(running))
        running[victim].kill()
        running[victim].join()
        steps = store.train()["step"].to_pylist()
        assert steps == list(range(1, len(steps) + 1)), f"kill {kill}: a gap or a doubled step"
    for process in running.values():
        process.kill()
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--last", type=int, default=20_000, help="updates of the run")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        disturbed, peaceful = (Store.create(f"{folder}/{name}") for name in ("disturbed", "peaceful"))
        disturb(disturbed.paths.root, args.kills, args.last)
        attempts = disturbed.states()[RUN].attempt
        for store in (disturbed, peaceful):
            train(store.paths.root, args.last)
        same = all(a.equals(b) for a, b in zip(view(disturbed), view(peaceful), strict=True))
        print(f"{args.kills} kills, {attempts} attempts, {args.last} updates: no reader error")
        print(f"view equal to an undisturbed run's: {same}")


if __name__ == "__main__":
    main()
