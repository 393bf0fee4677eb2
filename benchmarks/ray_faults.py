"""Twelve small runs on a real local Ray through seeded faults, compared bit for bit with a launch left in peace.

    python benchmarks/ray_faults.py --faults 100 --seed 0      about an hour on two cores
    python benchmarks/ray_faults.py --faults 5 --runs 3        a few minutes

Each run is two processes on a pretend v4-16 slice of two hosts; two slices at a time. Faults,
at random moments: SIGKILL of a worker, the death of a host (and a fresh one in its place), SIGKILL of the controller
and of the command that launched it, a store that refuses rows for a moment, and SIGSTOP of a worker. In the end it
prints what was injected, and whether every run is done, all numbers are equal bit for bit, and neither a worker process
nor a placement group is left. Exit status 1 if not.
"""

import argparse
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
from dit_grid.orchestrator.ray_backend.fake_slices import fake_cluster

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
"""

SLICES = {"first": "v4-16", "second": "v4-16"}
STOPPED_S = 3.0
REFUSING_S = 1.0
BETWEEN_S = (2.0, 8.0)


class Grid:
    """The launch under attack: its spec, its cluster, and the launching command, started again whenever it ended."""

    def __init__(self, path, cluster, chance):
        self.path, self.cluster, self.chance = path, cluster, chance
        self.spec = load_spec(path)
        self.folder = path.parent
        self.launch()

    def launch(self):
        """Start the launching command."""
        command = [sys.executable, "-m", "dit_grid.orchestrator.cli", "launch", str(self.path)]
        with (self.folder / "launch.log").open("a") as log:
            self.process = subprocess.Popen([*command, "--address", self.cluster.address], stdout=log, stderr=log)

    def done(self):
        """Whether every run is done; a launching command that ended before is started again."""
        try:
            states = Store.open(self.spec.store).states()
        except NotAStoreError:
            states = {}
        over = all(run.id in states and states[run.id].outcome == "done" for run in self.spec.runs)
        if not over and self.process.poll() is not None:
            self.launch()
        return over

    def kill_worker(self):
        """SIGKILL one process of a gang."""
        return self._signal("ray::Worker", signal.SIGKILL)

    def stop_worker(self):
        """Stop one process of a gang for a while."""
        pid = self._signal("ray::Worker", signal.SIGSTOP)
        if pid:
            time.sleep(STOPPED_S)
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

    def refuse_rows(self):
        """Let the store refuse rows and attempts for a moment."""
        moved = [self.folder / "store" / name for name in ("train", "attempts")]
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
        pids = workers(self.cluster, name)
        if not pids:
            return 0
        pid = self.chance.choice(pids)
        os.kill(pid, number)
        return pid


def workers(cluster, name):
    """Return the pids of this cluster's Ray processes with that title."""
    found = []
    raylets = {info.process.pid for node in cluster.cluster.list_all_nodes() for info in node.all_processes["raylet"]}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            title = (entry / "cmdline").read_text()
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if title.startswith(name) and parent in raylets:
            found.append(int(entry.name))
    return sorted(found)


def numbers(store):
    """Return what must not depend on what happened on the way."""
    columns = ["run_id", "step", "loss", "mse", "grad_norm", "param_norm"]
    return store.train().select(columns).to_pylist(), store.evals().select(["run_id", "step", "value"]).to_pylist()


def launched(folder, cluster, options, chance, faults):
    """Bring the grid to its end through so many faults; return its store and what was injected."""
    folder.mkdir()
    path = folder / "faults.yaml"
    seeds = ", ".join(map(str, range(options.runs)))
    path.write_text(SPEC.format(store=folder / "store", seeds=seeds, steps=options.steps))
    grid, injected, due = Grid(path, cluster, chance), Counter(), time.monotonic() + 20
    kinds = [
        grid.kill_worker, grid.kill_host, grid.kill_controller, grid.kill_launcher, grid.refuse_rows, grid.stop_worker
    ]  # fmt: skip
    ends = time.monotonic() + options.patience
    while not grid.done():
        if time.monotonic() > ends:
            sys.exit(f"not finished after {options.patience} s; look at {folder}")
        if injected.total() < faults and time.monotonic() > due:
            kind = chance.choice(kinds)
            if kind():
                injected[kind.__name__] += 1
                print(f"fault {injected.total()}: {kind.__name__}", flush=True)
            due = time.monotonic() + chance.uniform(*BETWEEN_S)
        time.sleep(0.5)
    try:
        grid.process.wait(timeout=120)
    except subprocess.TimeoutExpired:
        grid.process.kill()
        print("the launching command did not end by itself")
    return Store.open(grid.spec.store), injected


def left_over(cluster):
    """Return worker processes and placement groups that are still there."""
    import ray
    from ray.util.placement_group import placement_group_table

    ray.init(address=cluster.address, log_to_driver=False)
    groups = [entry["name"] for entry in placement_group_table().values() if entry["state"] != "REMOVED"]
    ray.shutdown()
    return workers(cluster, "ray::Worker"), groups


def main():
    """Run both launches and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=7200.0, help="seconds for one launch")
    parser.add_argument("--folder", type=Path, default=None, help="keep what is written here")
    options = parser.parse_args()
    os.environ.setdefault("RAY_TMPDIR", tempfile.mkdtemp(prefix="r"))
    folder = options.folder or Path(tempfile.mkdtemp(prefix="dit-grid-faults-"))
    folder.mkdir(exist_ok=True)
    with fake_cluster(SLICES, cpus=4) as cluster:
        peace, _ = launched(folder / "peace", cluster, options, random.Random(options.seed), faults=0)
        war, injected = launched(folder / "war", cluster, options, random.Random(options.seed), options.faults)
        processes, groups = left_over(cluster)
    equal = numbers(peace) == numbers(war)
    attempts = sum(state.attempt for state in war.states().values())
    print(f"{injected.total()} faults: {', '.join(f'{count} {name}' for name, count in injected.most_common())}")
    print(f"{options.runs} of {options.runs} runs done in {attempts} attempts; numbers equal bit for bit: {equal}")
    print(f"worker processes left: {len(processes)}; placement groups left: {len(groups)}")
    sys.exit(0 if equal and not processes and not groups else 1)


if __name__ == "__main__":
    main()
