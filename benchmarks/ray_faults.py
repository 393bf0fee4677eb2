"""Twelve small runs on a real local Ray through seeded faults, compared bit for bit with a launch left in peace.

    python benchmarks/ray_faults.py --faults 100 --folder faults       40 minutes on two busy cores
    python benchmarks/ray_faults.py --faults 6 --runs 3                four minutes

Each run is two processes on a pretend v4-16 slice of two hosts; two slices at a time. Faults, at random moments, all
six kinds as often: SIGKILL of a worker, the death of a host (a fresh one takes its place), SIGKILL of the controller
and of the command that launched it, a store that refuses writes for a moment, and SIGSTOP of a worker.

The grid is launched into a new store again and again (a round) until so many faults were injected. After each round
every run must be done, all numbers equal bit for bit to those of the launch left in peace, the store sound, and no
worker, controller or placement group left. With --folder, the same command goes on with the next round after an
interruption; --minutes ends it in any case. The last line holds the figures; exit status 1 if anything was wrong.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import NotAStoreError, Store
from dit_grid.experiments.store.check import check
from dit_grid.orchestrator.backends.ray.fake_slices import fake_cluster

SPEC = """
name: faults
store: {store}
grid: {{model.size: [S], model.patch: [4], seed: [{seeds}]}}
sizes: {{S: {{width: 32, depth: 2, heads: 2}}}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: {steps}, batch: 8, log_every: 10}}
evaluate: {{every: {steps}, settings: [{{metrics: [heldout_loss], samples: 64}}]}}
execution: {{resources: {{slice: v4-16}}, checkpoint_every: 20, steps_per_call: 10, flush_s: 0.2, max_retries: 50}}
cluster: {{settle_s: 2, backoff_s: 1, backoff_max_s: 5, strikes: 3, quarantine_s: 10}}
"""

SLICES = {"first": "v4-16", "second": "v4-16"}
QUICK = {
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_worker_niceness": "0",
}
"""Programs that compile quickly, no idle Ray workers, and workers that need not stand back behind everything else."""

BETWEEN = (0.1, 0.5)
"""From a fault to the next, of the time that a run took in peace: so they strike at every stage of a run."""

STOPPED_S = (1.0, 6.0)
REFUSING_S = 1.0
REFUSED = ("train", "evals", "attempts", "events")
END_S = 60.0


class OutOfTimeError(Exception):
    """The benchmark's time is over."""


class Grid:
    """The launch under attack: its spec, its cluster, and the launching command, started again whenever it ended."""

    def __init__(self, folder, cluster, chance, options):
        folder.mkdir(parents=True)
        self.folder, self.cluster, self.chance = folder, cluster, chance
        self.path = folder / "faults.yaml"
        seeds = ", ".join(map(str, range(options.runs)))
        self.path.write_text(SPEC.format(store=folder / "store", seeds=seeds, steps=options.steps))
        self.spec, self.launches = load_spec(self.path), 0
        self.launch()

    def launch(self):
        """Start the launching command."""
        command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(self.path), "--no-compile"]
        self.launches += 1
        with (self.folder / "launch.log").open("a") as log:
            self.process = subprocess.Popen([*command, "--address", self.cluster.address], stdout=log, stderr=log)

    def done(self):
        """Return how many runs are done; a launching command that ended before all are is started again."""
        states = {}
        with contextlib.suppress(NotAStoreError, OSError):
            states = Store.open(self.spec.store).states()
        done = sum(run.id in states and states[run.id].outcome == "done" for run in self.spec.runs)
        if done < len(self.spec.runs) and self.process.poll() is not None:
            self.launch()
        return done

    def kill_worker(self):
        """SIGKILL one process of a gang."""
        return self._signal("ray::Worker", signal.SIGKILL)

    def stop_worker(self):
        """Stop one process of a gang for a while."""
        pid = self._signal("ray::Worker", signal.SIGSTOP)
        if pid:
            time.sleep(self.chance.uniform(*STOPPED_S))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        return pid

    def kill_controller(self):
        """SIGKILL the driver on the cluster."""
        return self._signal("ray::Controller", signal.SIGKILL)

    def kill_launcher(self):
        """SIGKILL the launching command."""
        self.process.kill()
        self.process.wait()
        return True

    def kill_host(self):
        """End a host of a slice, and put a fresh one in its place."""
        name = self.chance.choice(sorted(self.cluster.hosts))
        worker = self.chance.choice(sorted(self.cluster.hosts[name]))
        self.cluster.replace_host(name, worker)
        return True

    def refuse_writes(self):
        """Let the store refuse rows, attempts and the journal for a moment."""
        moved = [self.folder / "store" / name for name in REFUSED]
        moved = [folder for folder in moved if folder.is_dir()]
        for folder in moved:
            folder.rename(folder.with_suffix(".away"))
            folder.write_text("")
        time.sleep(REFUSING_S)
        for folder in moved:
            folder.unlink()
            folder.with_suffix(".away").rename(folder)
        return bool(moved)

    def _signal(self, name, number):
        pids = processes(name)
        if not pids:
            return 0
        pid = self.chance.choice(pids)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return pid
        return 0


KINDS = ("kill_worker", "kill_host", "kill_controller", "kill_launcher", "refuse_writes", "stop_worker")


def processes(*names):
    """Return the pids of Ray processes with such titles that belong to this benchmark, by where they write their logs.

    Their parents do not tell: a worker whose raylet was killed has another.
    """
    found, home = [], os.environ["RAY_TMPDIR"]
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cmdline").read_text().startswith(names):
                files = [os.readlink(file) for file in (entry / "fd").iterdir()]
                if any(file.startswith(home) for file in files):
                    found.append(int(entry.name))
    return sorted(found)


def numbers(store):
    """Return what must not depend on what happened on the way."""
    columns = ["run_id", "step", "loss", "mse", "grad_norm", "param_norm"]
    return [store.train().select(columns).to_pylist(), store.evals().select(["run_id", "step", "value"]).to_pylist()]


def launched(grid, chance, faults, run_s, ends, say):
    """Bring the grid to its end through at most so many faults, and return what was injected."""
    injected, deck, due, began = Counter(), [], time.monotonic(), time.monotonic()
    while (done := grid.done()) < len(grid.spec.runs):
        if time.monotonic() > ends:
            grid.process.kill()
            raise OutOfTimeError(f"{done} of {len(grid.spec.runs)} runs done; look at {grid.folder}")
        if injected.total() < faults and time.monotonic() > due:
            deck = deck or chance.sample(KINDS, len(KINDS))
            if getattr(grid, deck[0])():
                injected[deck[0]] += 1
                say(f"{time.monotonic() - began:5.0f} s, {done} runs done, fault {injected.total()}: {deck[0]}")
                del deck[0]
            else:
                deck = deck[1:] + deck[:1]  # nobody there to be hit just now
            due = time.monotonic() + run_s * chance.uniform(*BETWEEN)
        time.sleep(0.5)
    try:
        grid.process.wait(timeout=END_S)
    except subprocess.TimeoutExpired:
        grid.process.kill()
        say("the launching command did not end by itself")
        injected["launch that did not end"] += 1
    return injected


def left_over(cluster):
    """Return worker and controller processes and placement groups that are still there after END_S."""
    import ray
    from ray.util.placement_group import placement_group_table

    deadline = time.monotonic() + END_S
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        while True:
            groups = [entry["name"] for entry in placement_group_table().values() if entry["state"] != "REMOVED"]
            found = processes("ray::Worker", "ray::Controller")
            if not (groups or found) or time.monotonic() > deadline:
                return found, groups
            time.sleep(0.5)
    finally:
        ray.shutdown()


def one_round(number, folder, cluster, options, faults, run_s, ends, peace):
    """Launch once more through faults and return the round's record."""
    name = f"round {number}" if faults else "in peace"
    chance, began = random.Random(f"{options.seed}/{number}"), time.monotonic()
    trial = sum(1 for _ in folder.glob(f"{number:03d}-*"))
    grid = Grid(folder / f"{number:03d}-{trial}", cluster, chance, options)
    injected = launched(grid, chance, faults, run_s, ends, lambda text: print(f"{name}, {text}", flush=True))
    workers, groups = left_over(cluster)
    store = Store.open(grid.spec.store)
    told = numbers(store)
    if not faults:
        (folder / "peace.json").write_text(json.dumps(told))
    record = {
        "round": number, "faults": dict(injected), "equal": not faults or told == peace, "runs": options.runs,
        "attempts": sum(state.attempt for state in store.states().values()), "launches": grid.launches,
        "unsound": [finding.problem for finding in check(store) if finding.is_error], "processes_left": len(workers),
        "groups_left": len(groups), "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    print(f"{name}: {json.dumps(record)}", flush=True)
    with (folder / "rounds.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
    return record


def rounds(folder, options, ends):
    """Launch in peace and then through faults until there were enough of them; return all records."""
    file = folder / "rounds.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    with fake_cluster(SLICES, cpus=1) as cluster:
        if not records:
            records.append(one_round(0, folder, cluster, options, 0, 0.0, ends, None))
        peace = json.loads((folder / "peace.json").read_text())
        run_s = records[0]["seconds"] * len(SLICES) / records[0]["runs"]
        while (left := options.faults - sum(sum(record["faults"].values()) for record in records)) > 0:
            records.append(one_round(len(records), folder, cluster, options, left, run_s, ends, peace))
    return records


def summary(records):
    """Print the figures and return whether all is well."""
    kinds = Counter()
    for record in records:
        kinds.update(record["faults"])
    good = all(
        r["equal"] and not (r["unsound"] or r["processes_left"] or r["groups_left"]) for r in records
    ) and set(kinds) <= set(KINDS)  # fmt: skip
    figures = {
        "faults": kinds.total(), "kinds": dict(sorted(kinds.items())), "rounds": len(records) - 1,
        "runs_done": sum(r["runs"] for r in records), "attempts": sum(r["attempts"] for r in records),
        "rounds_equal_bit_for_bit": sum(r["equal"] for r in records[1:]),
        "processes_left": sum(r["processes_left"] for r in records),
        "groups_left": sum(r["groups_left"] for r in records),
        "stores_unsound": sum(bool(r["unsound"]) for r in records),
        "seconds": round(sum(r["seconds"] for r in records)), "good": good,
    }  # fmt: skip
    print(json.dumps(figures))
    return good


def main():
    """Run until there were enough faults, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="give up after so long")
    parser.add_argument("--folder", type=Path, default=None, help="keep everything here, and go on from it")
    options = parser.parse_args()
    os.environ.update(QUICK)
    os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="r")  # short, for Ray's sockets, and nobody else's
    folder = options.folder.absolute() if options.folder else Path(tempfile.mkdtemp(prefix="dit-grid-faults-"))
    folder.mkdir(exist_ok=True)
    print(f"in {folder}", flush=True)
    try:
        good = summary(rounds(folder, options, time.monotonic() + options.minutes * 60))
    except OutOfTimeError as error:
        print(f"out of time after {options.minutes:g} minutes: {error}")
        good = False
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
