"""Gangs on pretend slices: real Ray nodes, real JAX processes that train one run together, real deaths."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.experiments.training.checkpoint_list import live_checkpoints
from dit_grid.orchestrator.backends import doctor
from dit_grid.orchestrator.backends.processes import birth
from dit_grid.orchestrator.clusters.sentinel import drain_with_ray, stand_guard
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.core import Phase, advance
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.work import record_runs, unfinished

pytestmark = pytest.mark.slow

SPEC = """
name: gangs
store: {store}
grid:
  model.size: [S, B]
  model.patch: [4]
sizes:
  S: {{width: 64, depth: 3, heads: 2}}
  B: {{width: 24, depth: 1, heads: 2}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: {steps}, batch: 8, log_every: 10}}
evaluate:
  every: {steps}
  settings: [{{metrics: [heldout_loss], samples: 64}}]
execution:
  resources: {{slice: v4-16}}
  checkpoint_every: 20
  steps_per_call: 10
  flush_s: 0.2
overrides: {{"B/*": {{execution: {{resources: {{slice: v3-8}}}}}}}}
"""
"""S trains on two hosts of a v4-16, a gang of two processes; B on the one host of a v3-8."""

STEPS = 300

DRIVER = """
import sys
from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.work import record_runs, unfinished
from dit_grid.orchestrator.backends.ray import RayBackend
spec = load_spec(sys.argv[1])
store = Store.create(spec.store)
record_runs(spec, store)
drive(unfinished(spec), store, RayBackend(spec.store, sys.argv[2]))
"""


def wait_for(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def written(folder):
    path = folder / "gangs.yaml"
    path.write_text(SPEC.format(store=folder / "store", steps=STEPS))
    return path


def driven(spec, address):
    """Launch in this process to the end, and return the last state."""
    from dit_grid.orchestrator.backends.ray import RayBackend

    store = Store.create(spec.store)
    record_runs(spec, store)
    backend = RayBackend(spec.store, address)
    try:
        return drive(unfinished(spec), store, backend)
    finally:
        backend.close()


def events(store, name):
    """What the journal says of each event or action of that name."""
    return [json.loads(row["detail"]) for row in store.events().to_pylist() if row["kind"] == name]


def first_driver(store):
    """What the first of a store's drivers held for true when it died, by its journal."""
    rows = store.events().to_pylist()
    first = min(rows, key=lambda row: row["wall_unix_s"])["journal"]
    state, told = journal.read([row for row in rows if row["journal"] == first])
    for event, _ in told:
        state, _ = advance(state, event)
    return state


def reservations(address):
    """Placement groups that are not removed, by name."""
    import ray
    from ray.util.placement_group import placement_group_table

    ray.init(address=address, log_to_driver=False)
    try:
        return [entry["name"] for entry in placement_group_table().values() if entry["state"] != "REMOVED"]
    finally:
        ray.shutdown()


@pytest.fixture(scope="module")
def cluster(ray_folder):
    """Two whole v4-16 slices, one that lacks a host, and a v3-8."""
    from dit_grid.orchestrator.backends.ray.fake_slices import fake_cluster

    with fake_cluster({"first": "v4-16", "second": "v4-16", "one": "v3-8"}) as made:
        made.add("broken", "v4-16", missing=(1,))
        made.cluster.wait_for_nodes()
        yield made


@dataclass
class Launch:
    """What a launch left: its runs by size, its store, and the last state."""

    gang: str
    single: str
    store: Store
    state: object


@pytest.fixture(scope="module")
def untouched(cluster, tmp_path_factory):
    """A launch that nothing happened to."""
    spec = load_spec(written(tmp_path_factory.mktemp("untouched")))
    state = driven(spec, cluster.address)
    return Launch(spec.runs[0].id, spec.runs[1].id, Store.open(spec.store), state)


@dataclass
class Battered(Launch):
    """A launch through the worst: the slices that its gang was on, in order, and the gang's last first process."""

    slices: list
    worker: int


@pytest.fixture(scope="module")
def battered(cluster, untouched, tmp_path_factory):
    """A gang whose host is preempted with notice, then one killed without, then its driver; a second driver ends it."""
    path = written(tmp_path_factory.mktemp("battered"))
    spec = load_spec(path)
    store, run = Store.create(spec.store), spec.runs[0].id
    slices = []

    def at_work(attempt):
        wait_for(lambda: run in store.states() and store.states()[run].attempt == attempt)
        slices.append(slice_of(store, run))
        limit = store.attempts(run)[-1].attempt.resume_step
        wait_for(lambda: any(step > limit for step, _ in live_checkpoints(store, run)))

    arguments = [sys.executable, "-c", DRIVER, str(path), cluster.address]
    driver = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        at_work(attempt=1)
        preempt_with_notice(cluster, slices[0], 0)
        wait_for(lambda: store.attempts(run)[0].outcome is not None)
        cluster.replace_host(slices[0], 0)
        at_work(attempt=2)
        cluster.kill_host(slices[1], 1)
        at_work(attempt=3)
    finally:
        driver.kill()
        driver.wait()
    worker = store.attempts(run)[-1].start["pid"]
    assert birth(worker), "the gang died with its driver"
    state = driven(spec, cluster.address)
    return Battered(run, spec.runs[1].id, store, state, slices, worker)


def preempt_with_notice(cluster, name, worker):
    """What a sentinel does on the host when the metadata server tells of its preemption."""
    node = cluster.hosts[name][worker].node_id
    metadata = ThreadingHTTPServer(("127.0.0.1", 0), Preempted)
    threading.Thread(target=metadata.serve_forever, daemon=True).start()
    notice = stand_guard(drain_with_ray(cluster.address, node), f"http://127.0.0.1:{metadata.server_port}")
    metadata.shutdown()
    metadata.server_close()
    assert notice == "preempted"


class Preempted(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if "preempted" in self.path else 404)
        self.end_headers()
        self.wfile.write(b"TRUE")

    def log_message(self, *arguments):
        pass


def slice_of(store, run):
    """The slice that the run's newest gang is on, by the environment of its first process."""
    pid = store.attempts(run)[-1].start["pid"]
    environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(entry.decode().split("=")[1] for entry in environ if entry.startswith(b"TPU_NAME="))


def test_a_run_trains_on_every_host_of_a_slice_and_another_on_a_v3_8(untouched, numbers):
    assert {run.phase for run in untouched.state.in_order()} == {Phase.DONE}
    assert untouched.store.attempts(untouched.gang)[-1].start["processes"] == 2
    assert untouched.store.attempts(untouched.single)[-1].start["processes"] == 1
    found = numbers(untouched.store)["train"]
    assert [row["step"] for row in found[:10]] == list(range(10, 110, 10))
    assert len(found) == 2 * STEPS // 10


def test_each_process_has_a_log_of_its_own(untouched):
    folder = Path(untouched.store.paths.full(f"logs/{untouched.gang}"))
    assert sorted(path.name for path in folder.iterdir()) == ["a000001.log", "a000001.r0001.log"]
    assert f"done after step {STEPS}" in (folder / "a000001.r0001.log").read_text()


def test_a_slice_that_lacks_a_host_is_never_chosen(untouched, battered):
    for launch in (untouched, battered):
        assert "broken" not in {detail["slice"] for detail in events(launch.store, "Start")}


def test_a_notice_of_preemption_is_in_time_for_a_checkpoint_so_that_no_step_is_lost(battered):
    first, second = battered.store.attempts(battered.gang)[:2]
    assert first.outcome == "interrupted"
    assert second.attempt.resume_step == first.end["step"] > 0
    assert events(battered.store, "SliceDraining")[0]["slice"] == battered.slices[0]


def test_a_killed_host_ends_the_gang_and_the_run_goes_on_from_its_checkpoint_on_another_slice(battered):
    assert battered.slices[1] != battered.slices[0]
    assert battered.slices[2] != battered.slices[1]
    third = battered.store.attempts(battered.gang)[2]
    assert third.attempt.resume_step >= 20
    # Ray may tell of the host before or after the surviving rank tells of its broken collective: the class is the same.
    run = first_driver(battered.store).runs[battered.gang]
    assert [attempt.outcome for attempt in run.past] == ["preempted", "preempted"]
    assert run.fruitless == 0  # none of it counts against the run


def test_a_killed_driver_is_followed_by_one_that_finds_the_gang_alive(battered):
    assert [detail for detail in events(battered.store, "GangStarted") if detail["adopted"]]
    assert battered.store.attempts(battered.gang)[-1].start["pid"] == battered.worker
    assert {run.phase for run in battered.state.in_order()} == {Phase.DONE}


def test_the_numbers_are_those_of_a_launch_that_nothing_happened_to(untouched, battered, numbers):
    assert numbers(battered.store) == numbers(untouched.store)


def test_every_attempt_records_which_build_was_shipped_to_it(untouched, tmp_path):
    facts = untouched.store.attempts(untouched.gang)[-1].start
    assert len(facts["wheel_sha256"]) == 64


def test_nothing_is_left_on_the_cluster(cluster, battered):
    for run in (battered.gang, battered.single):
        for record in battered.store.attempts(run):
            assert birth(record.start["pid"]) == 0
    assert reservations(cluster.address) == []


def test_doctor_says_which_slice_is_whole_and_what_the_broken_one_lacks(cluster):
    found = {finding.subject: finding for finding in doctor.examine(cluster.address)}
    assert (found["one"].level, found["one"].text) == ("ok", "v3-8, 1 of 1 hosts; intact")
    assert found["broken"].level == "problem"
    assert "worker 1 is missing" in found["broken"].text


def test_a_process_whose_driver_died_before_telling_it_what_to_do_is_ended(cluster, tmp_path):
    import ray

    from dit_grid.orchestrator.backends.ray import RayBackend
    from dit_grid.orchestrator.backends.worker import Facts, Worker
    from dit_grid.orchestrator.core.events import GangGone, RankLost

    spec = load_spec(written(tmp_path))
    Store.create(spec.store)
    backend = RayBackend(spec.store, cluster.address)
    run = spec.runs[1]
    name = f"{run.id}/1/0/1/-"
    actor: Any = (
        ray.remote(Worker).options(name=name, lifetime="detached", num_cpus=0, max_concurrency=4).remote(spec.store)
    )
    facts: Facts = ray.get(actor.facts.remote())
    told: list[object] = []

    def gone():
        told.extend(backend.poll(0.2))
        return any(isinstance(event, GangGone) for event in told)

    try:
        assert [event.gang.start for event in backend.adopt({run.id: run})] == [1]
        wait_for(gone)
    finally:
        backend.close()
    assert [event.cause for event in told if isinstance(event, RankLost)] == ["process"]
    assert birth(facts.pid) == 0
