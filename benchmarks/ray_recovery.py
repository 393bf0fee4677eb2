"""How soon a killed host is noticed, a run trains again on a spare slice, and a killed driver's gangs are taken over.

    python benchmarks/ray_recovery.py           a killed host and a killed driver; about 3 minutes on two cores
    python benchmarks/ray_recovery.py --pair    and the same kill under Ray's JaxTrainer; about 6 minutes

Pretend v4-16 slices of two hosts on this machine, a real DiT trained by two JAX processes. Printed, in seconds: host
SIGKILL to the gang stopped, and how it was classed (goal: 5, preempted); host SIGKILL to the first new step on the
spare slice, for dit-grid and, with --pair, for JaxTrainer told by a drain call, which trains the same run from the same
kind of checkpoint (goal: at most 0.75 of it); driver SIGKILL to the gang taken over by the next, whose Python is up
already (goal: 10; a new process imports for some seconds more).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.experiments.training.checkpoint_list import live_checkpoints
from dit_grid.orchestrator.backends.ray import RayBackend
from dit_grid.orchestrator.backends.ray.fake_slices import fake_cluster
from dit_grid.orchestrator.core.events import GangGone, GangStarted, Progressed
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.work import record_runs

SPEC = """
name: recovery
store: {store}
grid: {{model.size: [S], model.patch: [4]}}
sizes: {{S: {{width: 64, depth: 3, heads: 2}}}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: 1000000, batch: 8, log_every: 10}}
evaluate: {{every: 1000000, settings: []}}
execution: {{resources: {{slice: v4-16}}, checkpoint_every: 20, flush_s: 1.0}}
"""

DRIVER = """
import sys
from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.backends.ray import RayBackend
spec = load_spec(sys.argv[1])
drive(list(spec.runs), Store.open(spec.store), RayBackend(spec.store, sys.argv[2]))
"""

PATIENCE_S = 600


class EnoughError(Exception):
    """The measurement is over."""


class Heard(RayBackend):
    """A backend that notes when it says what, and ends the drive once `last` says so."""

    def __init__(self, where, address, last):
        super().__init__(where, address)
        self.said, self.last = [], last

    def adopt(self, specs):
        """Note what was taken over."""
        told = super().adopt(specs)
        self._note(told)
        return told

    def poll(self, timeout_s):
        """Note what happened."""
        told = super().poll(timeout_s)
        self._note(told)
        return told

    def _note(self, told):
        self.said += [(time.time(), event) for event in told]
        if any(map(self.last, told)):
            raise EnoughError


def fresh(folder):
    """Return the spec in a new folder, its store made."""
    folder.mkdir()
    (folder / "spec.yaml").write_text(SPEC.format(store=folder / "store"))
    spec = load_spec(folder / "spec.yaml")
    record_runs(spec, Store.create(spec.store))
    return spec, folder / "spec.yaml"


def trained(spec, attempt):
    """Wait until the attempt has a checkpoint of its own, and return the process id of its first process."""
    store, run = Store.open(spec.store), spec.runs[0].id
    deadline = time.monotonic() + PATIENCE_S
    while not any(number == attempt for _, number in live_checkpoints(store, run)):
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.1)
    return store.attempts(run)[-1].start["pid"]


def slice_of(pid):
    """Return the slice that the process is on."""
    environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(entry.decode().split("=")[1] for entry in environ if entry.startswith(b"TPU_NAME="))


def driver(path, address):
    """Start a driver of the spec in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(path), address])


def heard(spec, address, last):
    """Drive the spec here until `last` is said; return all that was said with its time, and the run as it stood."""
    backend, runs, (one,) = Heard(spec.store, address, last), [], spec.runs
    try:
        drive([one], Store.open(spec.store), backend, lambda grid: runs.append(grid.state.runs[one.id]))
    except EnoughError:
        pass
    finally:
        backend.detach() if last is first_adoption else backend.close()
    return backend.said, runs[-1] if runs else None


def first_adoption(event):
    """Whether a gang was taken over."""
    return isinstance(event, GangStarted) and event.adopted


def new_step(event):
    """Whether the second gang made a step."""
    return isinstance(event, Progressed) and event.gang.start == 2 and event.activity == "training"


def dit_grid(cluster, folder):
    """Kill the driver, then a host, and print how long each took to be mended."""
    spec, path = fresh(folder)
    first = driver(path, cluster.address)
    on = slice_of(trained(spec, 1))
    first.kill()
    first.wait()
    killed = time.time()
    said, _ = heard(spec, cluster.address, first_adoption)
    print(f"driver SIGKILL to taken over: {said[-1][0] - killed:.1f} s (goal 10)")

    import threading

    moment = []

    def kill():
        """Wait until the drive below has begun, and kill a host of the gang's slice."""
        time.sleep(5)
        moment.append(time.time())
        cluster.kill_host(on, 1)

    threading.Thread(target=kill, daemon=True).start()
    said, run = heard(spec, cluster.address, new_step)
    judged = run.past[-1].outcome
    gone = next(at for at, event in said if isinstance(event, GangGone))
    print(f"host SIGKILL to gang stopped: {gone - moment[0]:.1f} s (goal 5)")
    print(f"classed as {judged} (goal: preempted), {run.fruitless} retries spent")
    ours = said[-1][0] - moment[0]
    print(f"host SIGKILL to first new steps on the spare slice: {ours:.1f} s")
    return on, ours


def jax_trainer(cluster, folder):
    """The same kill under JaxTrainer with a drain call before it; return seconds to the first new step."""
    spec, _ = fresh(folder)
    script = Path(__file__).with_name("ray_recovery_jax_trainer.py")
    process = subprocess.Popen([sys.executable, str(script), str(folder / "spec.yaml"), cluster.address])
    try:
        on = slice_of(trained(spec, 1))
        from dit_grid.orchestrator.clusters.sentinel import drain_with_ray

        drain_with_ray(cluster.address, cluster.hosts[on][1].node_id)("preempted", 1.0)
        killed = time.time()
        cluster.kill_host(on, 1)
        deadline = time.monotonic() + PATIENCE_S
        while Store.open(spec.store).train()["attempt"].to_pylist()[-1] < 2:
            assert time.monotonic() < deadline, "JaxTrainer did not come back"
            time.sleep(0.1)
        return time.time() - killed
    finally:
        process.kill()
        process.wait()


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", action="store_true", help="also under Ray's JaxTrainer")
    options = parser.parse_args()
    os.environ.setdefault("RAY_TMPDIR", tempfile.mkdtemp(prefix="r"))
    with tempfile.TemporaryDirectory() as name, fake_cluster({"first": "v4-16", "second": "v4-16"}) as cluster:
        killed, ours = dit_grid(cluster, Path(name) / "ours")
        if options.pair:
            cluster.replace_host(killed, 1)
            cluster.wait()
            theirs = jax_trainer(cluster, Path(name) / "theirs")
            print(f"JaxTrainer with a drain call: {theirs:.1f} s; dit-grid takes {ours / theirs:.2f} of it (goal 0.75)")


if __name__ == "__main__":
    main()
