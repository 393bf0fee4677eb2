"""What dit-grid adds to a run that does nothing, over a bare Ray actor that does nothing, pairwise on one Ray.

    python benchmarks/ray_overhead.py --runs 24 --pairs 3        about 10 minutes on two cores
    python benchmarks/ray_overhead.py --runs 4 --pairs 1         a minute

Each pair runs the same number of bare actors (a fresh process each, with the same variables, as many at a time as there
are cores), then of runs through the whole launch: core, journal, placement, a fresh detached process, status, end. It
prints seconds a run of both, their ratio (goal: at most 1.1), and seconds a run where this machine's own Ray uses idle
processes again, as a launch without --address does.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import ray

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.backends.ray import RayBackend, gang
from dit_grid.orchestrator.backends.variables import environment
from dit_grid.orchestrator.backends.worker import Worker, compilation_cache
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.work import record_runs

SPEC = """
name: nothing
store: {store}
grid: {{model.size: [S], model.patch: [4], seed: [{seeds}]}}
sizes: {{S: {{width: 16, depth: 1, heads: 2}}}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: 10, batch: 8, log_every: 10}}
evaluate: {{every: 10, settings: []}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: 10}}
"""


class Nothing(Worker):
    """A worker whose run is over when it begins."""

    def _execute(self, run, place, log):
        self._update(lambda status: status.__class__(status.version, None, "done", run.train.steps))


class Bare:
    """The least an actor can do."""

    def execute(self):
        """Return at once."""
        return True


def bare_actors(runs, at_once):
    """Run a fresh actor for each run, so many at a time, each killed when it answered; return seconds a run."""
    began, waiting, working = time.perf_counter(), list(runs), {}
    while waiting or working:
        while waiting and len(working) < at_once:
            options = {"num_cpus": 1, "runtime_env": {"env_vars": environment(waiting.pop(), str(compilation_cache()))}}
            actor = ray.remote(Bare).options(**options).remote()
            working[actor.execute.remote()] = actor
        for done in ray.wait(list(working), num_returns=1)[0]:
            ray.get(done)
            ray.kill(working.pop(done))
    return (time.perf_counter() - began) / len(runs)


def launched(runs, store, address):
    """Drive the runs to their end and return seconds a run, Ray's own start left out."""
    backend = RayBackend(store.paths.root, address)
    try:
        began = time.perf_counter()
        state = drive(runs, store, backend)
        seconds = time.perf_counter() - began
    finally:
        backend.detach() if address else backend.close()
    assert all(run.phase == "done" for run in state.in_order())
    return seconds / len(runs)


def fresh_store(count):
    """Return the runs of a spec with so many seeds, and a new store that knows them."""
    folder = Path(tempfile.mkdtemp(prefix="dit-grid-overhead-"))
    path = folder / "spec.yaml"
    path.write_text(SPEC.format(store=folder / "store", seeds=", ".join(map(str, range(count)))))
    spec = load_spec(path)
    store = Store.create(spec.store)
    record_runs(spec, store)
    return list(spec.runs), store


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    gang.Worker = Nothing
    cores = len(os.sched_getaffinity(0))
    context = ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, namespace="overhead")
    address = context.address_info["address"]
    ratios = []
    for pair in range(options.pairs):
        runs, store = fresh_store(options.runs)
        if pair % 2:  # who is first pays for what the machine has not in its caches
            ours, bare = launched(runs, store, address), bare_actors(runs, cores)
        else:
            bare, ours = bare_actors(runs, cores), launched(runs, store, address)
        ratios.append(ours / bare)
        print(f"pair {pair + 1}: bare actor {bare:.3f} s a run, dit-grid {ours:.3f} s a run, {ours / bare:.2f} x")
    print(f"median {statistics.median(ratios):.2f} x (goal 1.1, Ray Tune 2.18, measured with Ray 2.60)")
    ray.shutdown()
    runs, store = fresh_store(options.runs)
    print(f"own Ray with processes used again: {launched(runs, store, None):.3f} s a run")


if __name__ == "__main__":
    main()
