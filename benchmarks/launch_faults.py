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
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from dit_grid.experiments.data.latent_shards import Making, Manifest, moments_path, write_manifest, write_shard
from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import NotAStoreError, Store, StoreError
from dit_grid.experiments.store.check import check
from dit_grid.experiments.store.compaction import collect
from dit_grid.experiments.store.files import open_files

SPEC = """
name: faults
store: {store}
grid: {{model.size: [S], model.patch: [2], seed: [{seeds}]}}
sizes: {{S: {{width: 16, depth: 1, heads: 2}}}}
model: {{image_size: 4, channels: 2, classes: 3}}
data: {{name: few-latents, path: {latents}, heldout: 16}}
train: {{steps: {steps}, batch: 8, log_every: 10}}
evaluate: {{every: {steps}, settings: [{{metrics: [heldout_loss], samples: 16}}]}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: {every}, steps_per_call: 10, flush_s: 0.1, max_retries: 50}}
cluster: {{settle_s: 0.3, backoff_s: 0.3, backoff_max_s: 2, lease_s: {lease}}}
"""

QUICK = {
    "XLA_FLAGS": "--xla_backend_optimization_level=0", "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "0", "RAY_worker_niceness": "0",
}  # fmt: skip
CLOCK = """
import os, time
_time, _off = time.time, float(os.environ.get("CLOCK_OFF_S", "0"))
time.time = lambda: _time() + _off
"""
HOUR_S = 3600.0
PATIENCE_S = 30.0
A_ROUND = 20
"""Faults of a round at most, so that numbers are compared often enough."""

LONGEST_S = 15.0
"""A launch that takes longer in peace, on a busy machine, is not hit less often for it."""

DISK = "48m"
END_S = 60.0
WITHIN_S = 400.0
"""Far beyond what any step of a round takes on a busy machine."""


class OutOfTimeError(Exception):
    """The benchmark's time is over, or something did not happen in WITHIN_S."""


class Grid:
    """The launch under attack: its spec, its store, and its launching command, started again whenever it ended."""

    def __init__(self, folder, chance, options, disk):
        folder.mkdir(parents=True)
        self.folder, self.chance, self.options, self.place = folder, chance, options, disk or folder / "place"
        self.place.mkdir(exist_ok=True)
        self.store_at, self.has_disk = self.place / "store", disk is not None
        self.latents = folder / "latents"
        make_latents(self.latents)
        self.sessions, self.launches, self.ended = [], 0, []
        self.write_spec()
        self.launch()

    def write_spec(self):
        """Write the spec of the store where it now lies."""
        seeds, o = ", ".join(map(str, range(self.options.runs))), self.options
        every = max(10, o.steps // 20 // 10 * 10)
        self.path = self.folder / "faults.yaml"
        self.path.write_text(SPEC.format(
            store=self.store_at, latents=self.latents, seeds=seeds, steps=o.steps, every=every, lease=o.lease
        ))  # fmt: skip
        self.spec = load_spec(self.path)

    def launch(self, off_s=0.0):
        """Start the launching command, with its clocks off by so much."""
        clock = self.folder / "clock"
        clock.mkdir(exist_ok=True)
        (clock / "sitecustomize.py").write_text(CLOCK)
        env = {**os.environ, "PYTHONPATH": str(clock), "CLOCK_OFF_S": str(off_s)} if off_s else dict(os.environ)
        command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(self.path)]
        with (self.folder / "launch.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)
        self.sessions.append(self.process.pid)
        self.launches += 1

    def store(self):
        """Return the store, None while there is none to be read."""
        with contextlib.suppress(NotAStoreError, StoreError, OSError):
            return Store.open(self.store_at)
        return None

    def done(self):
        """Return how many runs are done; a launching command that ended before all are is started again."""
        store = self.store()
        states = store.states() if store is not None else {}
        done = sum(run.id in states and states[run.id].outcome == "done" for run in self.spec.runs)
        if done < len(self.spec.runs) and self.process.poll() is not None:
            self.ended.append(self.process.returncode)
            self.launch()
        return done

    def said(self):
        """Return all that launches said so far."""
        return (self.folder / "launch.log").read_text()

    # Drivers, workers and hosts.

    def kill_worker(self):
        """SIGKILL the process that a run executes in."""
        return self._signal(self._workers(), signal.SIGKILL)

    def stop_worker(self):
        """Freeze the process that a run executes in for a while."""
        return self._frozen(self._workers(), self.chance.uniform(0.5, 2.0))

    def kill_driver(self):
        """SIGKILL the launch and start it again at once, beside what is left of its Ray."""
        return self._cut_off(everything=False) and self._again()

    def power_cut(self):
        """SIGKILL every process of the launch, and start it again on another boot of the machine."""
        return self._cut_off() and self._claims(boot="another boot") and self._again()

    def other_host(self):
        """SIGKILL every process of the launch, and start it again on another host."""
        return self._cut_off() and self._claims(host="elsewhere") and self._again()

    def clocks_apart(self):
        """As other_host, with a clock an hour before or after that of the first."""
        off_s = self.chance.choice((-HOUR_S, HOUR_S))
        return self._cut_off() and self._claims(host="elsewhere") and self._again(off_s)

    def freeze_driver(self):
        """Freeze the launch for longer than its lease and wake it; nobody else was there."""
        return self.process.poll() is None and self._frozen([self.process.pid], self.options.lease * 1.5)

    def replace_driver(self):
        """Freeze the launch, let a second one take over, and wake the first."""
        first, number = self.process, self._number()
        if first.poll() is not None or not number:
            return False
        os.kill(first.pid, signal.SIGSTOP)
        try:
            self.launch()
            self._wait(lambda: self._number() > number or self.process.poll() is not None, "the second to take over")
        finally:
            os.kill(first.pid, signal.SIGCONT)
        return True

    # Stores, disks and bits.

    def copy_store(self):
        """Copy the store in mid-run, as by a snapshot, and go on in the copy while the first driver still lives."""
        old, pid = self.store_at, self.process.pid
        if self.process.poll() is not None or not self.marks():
            return False
        everybody = session(pid)
        for one in everybody:
            signal_to(one, signal.SIGSTOP)
        self.store_at = self.place / f"store-{self.launches}"
        shutil.copytree(old, self.store_at)
        number = self._number()
        self.write_spec()
        self.launch()
        self._wait(lambda: self._number() > number or self.process.poll() is not None, "the copy's driver")
        end_session(pid)
        shutil.rmtree(old)
        return True

    def move_store(self):
        """Move the store away in mid-run and back; nothing may make it anew meanwhile."""
        if not self.marks():
            return False
        away = self.place / "away"
        self.store_at.rename(away)
        until = time.monotonic() + self.chance.uniform(0.5, self.options.lease * 2)
        while time.monotonic() < until:
            if self.store_at.exists():
                raise AssertionError(f"something made {self.store_at} anew: {list(self.store_at.rglob('*'))[:5]}")
            time.sleep(0.05)
        away.rename(self.store_at)
        return True

    def fill_disk(self):
        """Fill the store's disk but for a few kilobytes, for a moment."""
        if not self.has_disk:
            return False
        filler, room = self.place / "filler", self.chance.choice((0, 4, 16, 64)) << 10
        with filler.open("wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            file.truncate(max(0, file.tell() - room))
            time.sleep(self.chance.uniform(0.5, 4.0))
        filler.unlink()
        return True

    def flip_checkpoint(self):
        """Cut the launch off, flip a bit in the newest checkpoint of a run at work, and start it again.

        That of a run that is done would stay damaged, and be named by `store check`: nobody needs it any more.
        """
        if not self._at_work() or not self._cut_off():
            return False
        newest = self._at_work()
        if not newest:
            return self._again() and False
        mark = self.chance.choice(sorted(newest.values()))
        _, attempt, step, _ = mark.name.split(".")
        files = [file for file in (mark.parent / attempt / step).rglob("*") if file.is_file() and file.stat().st_size]
        if not files:
            return self._again() and False
        flip(self.chance.choice(sorted(files)), self.chance)
        return self._again()

    def flip_segment(self):
        """Flip a bit in a segment of rows: it must be named, or change no number that is read. Then flip it back."""
        return self._flip_rows("train/*/*.parquet")

    def flip_journal(self):
        """The same of the journal."""
        return self._flip_rows("events/*.parquet")

    def flip_latents(self):
        """Cut the launch off and flip a bit in a shard: no run may train on it, and it must be named."""
        if self.done() == len(self.spec.runs) or not self._cut_off():
            return False
        path = moments_path(self.latents, self.chance.randrange(2))
        whole, length = path.read_bytes(), len(self.said())
        flip(path, self.chance)
        self._again()
        self._wait(lambda: self.process.poll() is not None, "the launch to refuse the shard")
        path.write_bytes(whole)
        said = self.said()[length:]
        named = f"{path.name}: is not what was encoded" in said and "Traceback" not in said
        if self.process.returncode not in (1, 2) or not named:  # before anything starts, or by the run
            raise AssertionError(f"a damaged shard ended with {self.process.returncode}: {said}")
        return self._again()

    def _flip_rows(self, pattern):
        store = self.store()
        files = sorted(self.store_at.glob(pattern))
        if store is None or not files:
            return False
        file = self.chance.choice(files)
        whole, turn_back = file.read_bytes(), flip(file, self.chance)
        try:
            before = rows_of(whole)
            named = any(finding.is_error and file.name in finding.name for finding in check(store))
            try:
                same = rows_of(file.read_bytes()) == before
            except (StoreError, OSError, ValueError):
                same = False
            if not named and not same:
                raise AssertionError(f"a flipped bit of {file} was not found")
        finally:
            turn_back()
        return True

    def _workers(self):
        return [pid for pid in session(self.process.pid) if title(pid).startswith("ray::Worker")]

    def marks(self):
        """Return the marks of whole checkpoints."""
        return list(self.store_at.glob("checkpoints/*/whole.*"))

    def _at_work(self):
        """Return the newest mark of each run that is not done, by run."""
        store = self.store()
        done = {run for run, state in store.states().items() if state.outcome == "done"} if store is not None else set()
        return {mark.parent.name: mark for mark in sorted(self.marks()) if mark.parent.name not in done}

    def _claimed(self):
        return sorted(self.store_at.glob("control/driver-??????.json"))

    def _number(self):
        return int(self._claimed()[-1].name[7:13]) if self._claimed() else 0

    def _claims(self, **changes):
        claim = self._claimed()[-1]
        claim.write_text(json.dumps(json.loads(claim.read_text()) | changes))
        return True

    def _cut_off(self, everything=True):
        if not self._claimed():
            return False
        if everything:
            for pid in self.sessions:
                end_session(pid)
        else:
            self.process.kill()
        self.process.wait()
        return True

    def _again(self, off_s=0.0):
        self.launch(off_s)
        return True

    def _signal(self, pids, number):
        return bool(pids) and signal_to(self.chance.choice(pids), number)

    def _frozen(self, pids, seconds):
        if not pids:
            return False
        pid = self.chance.choice(pids)
        stopped = signal_to(pid, signal.SIGSTOP)
        time.sleep(seconds)
        signal_to(pid, signal.SIGCONT)
        return stopped

    def _wait(self, condition, what):
        until = time.monotonic() + WITHIN_S
        while not condition():
            if time.monotonic() > until:
                raise OutOfTimeError(f"waited {WITHIN_S:.0f} s for {what}; look at {self.folder}")
            time.sleep(0.1)


KINDS = (
    "kill_worker", "stop_worker", "kill_driver", "power_cut", "other_host", "clocks_apart", "freeze_driver",
    "replace_driver", "copy_store", "move_store", "fill_disk", "flip_checkpoint", "flip_segment", "flip_journal",
    "flip_latents",
)  # fmt: skip


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


def title(pid):
    """Return what a process calls itself; empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def session(pid):
    """Return the living processes of a session; a launch and all its workers are one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == pid and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found


def signal_to(pid, number):
    """Send a signal; False if there is no such process."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def end_session(pid):
    """End every process of a session for certain."""
    while everybody := session(pid):
        for one in everybody:
            signal_to(one, signal.SIGKILL)
        time.sleep(0.05)


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
