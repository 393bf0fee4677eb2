"""Small grids launched on this machine through seeded faults of drivers, hosts, clocks, disks and single bits.

    python benchmarks/launch_faults.py --faults 200 --folder launch-faults    on two quiet cores
    python benchmarks/launch_faults.py --faults 6 --minutes 10                a try

Everything is real: `dit-grid launch` in processes of its own, a Ray of its own, two runs on encoded latents, and, where
this user may mount one, a disk of its own for the store. Faults come from a shuffled deck of all KINDS, at random
moments of a run; `--kinds a,b` takes some of them. A launch that ended is started again, as a person would.

A grid is launched into a new store again and again (a round) until so many faults were injected. After each round every
run must be done, all numbers equal bit for bit to those of a launch left in peace, the store sound, and nothing left
behind: no process, no shared memory, no half-made file that `store gc` does not take. With --folder the same command
goes on with the next round after an interruption. The last line holds the figures; exit status 1 if anything was wrong.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from faults.grid import HOUR_S, KINDS, Grid, OutOfTimeError
from faults.processes import end_session, session, title

from dit_grid.experiments.store import Store
from dit_grid.experiments.store.check import check
from dit_grid.experiments.store.compaction import collect

QUICK = {
    "XLA_FLAGS": "--xla_backend_optimization_level=0", "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "0", "RAY_worker_niceness": "0",
}  # fmt: skip
PATIENCE_S = 30.0
A_ROUND = 20
"""Faults of a round at most, so that numbers are compared often enough."""

LONGEST_S = 15.0
"""A launch that takes longer in peace, on a busy machine, is not hit less often for it."""

DISK = "48m"
END_S = 60.0


def numbers(store):
    """Return what must not depend on what happened on the way."""
    columns = ["run_id", "step", "loss", "mse", "grad_norm", "param_norm"]
    return [store.train().select(columns).to_pylist(), store.evals().select(["run_id", "step", "value"]).to_pylist()]


def shared_memory():
    """Return the names in /dev/shm."""
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def launched(grid, chance, deck, faults, run_s, ends, say):
    """Bring the grid to its end through at most so many faults, and return what was injected."""
    injected, began, due, known = Counter(), time.monotonic(), time.monotonic(), None
    while (done := grid.done()) < len(grid.spec.runs):
        if time.monotonic() > ends:
            raise OutOfTimeError(f"{done} of {len(grid.spec.runs)} runs done; look at {grid.folder}")
        at_work = known is None or set(grid.marks()) - known or time.monotonic() > due + PATIENCE_S
        if injected.total() < faults and time.monotonic() > due and at_work:
            if not deck:
                deck += chance.sample(grid.options.kinds, len(grid.options.kinds))
            if getattr(grid, deck[0])():
                injected[deck[0]] += 1
                say(f"{time.monotonic() - began:5.0f} s, {done} runs done, fault {injected.total()}: {deck[0]}")
                del deck[0]
            elif len(deck) > 1:
                deck.append(deck.pop(0))  # not just now
            known = set(grid.marks()) if chance.random() < 0.5 else None  # half of them strike once it trains again
            due = time.monotonic() + min(run_s, LONGEST_S) * chance.uniform(0.05, 0.4)
        time.sleep(0.1)
    with contextlib.suppress(subprocess.TimeoutExpired):
        grid.process.wait(timeout=END_S)
    return injected


def left_over(grid, memory):
    """Return what of the launches is still there after END_S, and end it."""
    until = time.monotonic() + END_S
    while True:
        found = [title(pid)[:60] for one in grid.sessions for pid in session(one)]
        found += sorted(shared_memory() - memory)
        if not found or time.monotonic() > until:
            break
        time.sleep(0.5)
    for one in grid.sessions:
        end_session(one)
    store = Store.open(grid.store_at)
    collect(store, dry_run=False, grace_s=-2 * HOUR_S)
    found += list(store.files.leftovers())
    strange = {path.name for path in grid.place.iterdir()} - {grid.store_at.name, "lost+found"}
    return found + sorted(strange)


def one_round(number, folder, options, deck, faults, run_s, ends, peace):
    """Launch once more through faults and return the round's record."""
    name = f"round {number}" if faults else "in peace"
    chance, began, memory = random.Random(f"{options.seed}/{number}"), time.monotonic(), shared_memory()
    at = folder / f"{number:03d}-{sum(1 for _ in folder.glob(f'{number:03d}-*'))}"
    with own_disk(at.with_suffix(".disk")) as disk:
        grid = Grid(at, chance, options, disk)
        try:
            injected = launched(
                grid, chance, deck, faults, run_s, ends, lambda text: print(f"{name}, {text}", flush=True)
            )
            took_s = time.monotonic() - began
            left = left_over(grid, memory)
            store = Store.open(grid.store_at)
            told, attempts = numbers(store), sum(state.attempt for state in store.states().values())
            unsound = [finding.problem for finding in check(store) if finding.is_error]
        finally:
            for one in grid.sessions:
                end_session(one)
    if not faults:
        (folder / "peace.json").write_text(json.dumps(told))
    record = {
        "round": number, "faults": dict(injected), "equal": not faults or told == peace, "runs": options.runs,
        "attempts": attempts, "launches": grid.launches,
        "statuses": grid.ended, "tracebacks": grid.said().count("Traceback"), "unsound": unsound, "left": left,
        "seconds": round(took_s, 1),
    }  # fmt: skip
    print(f"{name}: {json.dumps(record)}", flush=True)
    with (folder / "rounds.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
    return record


@contextlib.contextmanager
def own_disk(folder):
    """Yield a small disk of its own for the store, None where this user may mount none."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], capture_output=True)
    try:
        yield None if made.returncode else folder
    finally:
        if not made.returncode:
            subprocess.run(["umount", "-l", folder], check=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


def rounds(folder, options, ends):
    """Launch in peace and then through faults until there were enough of them; return all records."""
    file, deck = folder / "rounds.jsonl", []
    records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    if not records:
        records.append(one_round(0, folder, options, deck, 0, 0.0, ends, None))
    peace = json.loads((folder / "peace.json").read_text())
    run_s = records[0]["seconds"]
    while (left := options.faults - sum(sum(record["faults"].values()) for record in records)) > 0:
        records.append(one_round(len(records), folder, options, deck, min(left, A_ROUND), run_s, ends, peace))
    return records


def summary(records):
    """Print the figures and return whether all is well."""
    kinds = Counter()
    for record in records:
        kinds.update(record["faults"])
    good = all(r["equal"] and not (r["unsound"] or r["left"] or r["tracebacks"]) for r in records)
    figures = {
        "faults": kinds.total(), "kinds": dict(sorted(kinds.items())), "rounds": len(records) - 1,
        "runs_done": sum(r["runs"] for r in records), "launches": sum(r["launches"] for r in records),
        "rounds_equal_bit_for_bit": sum(r["equal"] for r in records[1:]),
        "left_behind": sum(len(r["left"]) for r in records), "tracebacks": sum(r["tracebacks"] for r in records),
        "stores_unsound": sum(bool(r["unsound"]) for r in records),
        "seconds": round(sum(r["seconds"] for r in records)), "good": good,
    }  # fmt: skip
    print(json.dumps(figures))
    return good


def main():
    """Run until there were enough faults, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--lease", type=float, default=3.0, help="seconds of silence after which a driver is replaced")
    parser.add_argument("--kinds", type=lambda text: tuple(text.split(",")), default=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="give up after so long")
    parser.add_argument("--folder", type=Path, default=None, help="keep everything here, and go on from it")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"--kinds: no {sorted(unknown)[0]!r}; there are {', '.join(KINDS)}")
    os.environ.update(QUICK)
    os.environ["RAY_TMPDIR"] = home = tempfile.mkdtemp(prefix="r", dir="/tmp")  # short, and nobody else's
    folder = options.folder.absolute() if options.folder else Path(tempfile.mkdtemp(prefix="dit-grid-faults-"))
    folder.mkdir(exist_ok=True)
    print(f"in {folder}", flush=True)
    try:
        good = summary(rounds(folder, options, time.monotonic() + options.minutes * 60))
    except (OutOfTimeError, AssertionError) as error:
        print(f"{type(error).__name__}: {error}")
        good = False
    finally:
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
