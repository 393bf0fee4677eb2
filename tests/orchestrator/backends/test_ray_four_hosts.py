"""A pretend v3-32: four hosts, a gang of four JAX processes that train one run together; speeds measured on it; and
who holds its hosts, and when they are free again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store

pytestmark = pytest.mark.slow

SPEC = """
name: four
store: {store}
grid: {{model.size: [S], model.patch: [4]}}
sizes: {{S: {{width: 16, depth: 1, heads: 2}}}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: 60, batch: 8, log_every: 10}}
evaluate: {{every: 60, settings: [{{metrics: [heldout_loss], samples: 64}}]}}
execution: {{resources: {{slice: v3-32}}, checkpoint_every: 30, steps_per_call: 10}}
"""


@pytest.fixture(scope="module")
def address(ray_folder):
    from dit_grid.orchestrator.backends.ray.fake_slices import fake_cluster

    with fake_cluster({"pod": "v3-32"}) as cluster:
        yield cluster.address


@pytest.fixture
def connected(address):
    """This process in the cluster, as a driver of a store is."""
    import ray

    ray.init(address=address, namespace="reservations", log_to_driver=False)
    yield
    for held in reservations():
        ray.util.remove_placement_group(ray.util.get_placement_group(held))
    ray.shutdown()


def reservations():
    from ray.util.placement_group import placement_group_table

    return {entry["name"] for entry in placement_group_table().values() if entry["state"] != "REMOVED"}


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "four.yaml"
    path.write_text(SPEC.format(store=tmp_path / "store"))
    return path


def dit_grid(*arguments):
    command = [sys.executable, "-m", "dit_grid.orchestrator", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=400, env={**os.environ, "NO_COLOR": "1"})
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_four_processes_train_one_run_each_with_a_quarter_of_the_batch(address, spec):
    dit_grid("launch", spec, "--address", address, "--no-compile")
    (run,) = load_spec(spec).runs
    store = Store.open(load_spec(spec).store)
    (attempt,) = store.attempts(run.id)
    assert (attempt.outcome, attempt.start["processes"]) == ("done", 4)
    assert store.train()["step"].to_pylist() == [10, 20, 30, 40, 50, 60]
    logs = Path(store.paths.full(f"logs/{run.id}"))
    ranks = [logs / f"a000001{rank}.log" for rank in ("", ".r0001", ".r0002", ".r0003")]
    assert all("done after step 60" in log.read_text() for log in ranks)


def test_speeds_are_measured_on_the_cluster_once_and_then_used(address, spec):
    (row,) = json.loads(dit_grid("plan", spec, "--calibrate", "--address", address, "--json"))
    assert row["speed_from"] == "measured"
    assert row["steps_per_s"] > 0
    (again,) = json.loads(dit_grid("plan", spec, "--calibrate", "--address", "nobody:1", "--json"))
    assert again["steps_per_s"] == row["steps_per_s"]


def hosts(chips=4.0):
    from dit_grid.orchestrator.backends.ray.placement import Shape

    return Shape(({"TPU": chips},) * 4, ({},) * 4)


def test_hosts_that_come_free_while_a_gang_waits_are_its_own(connected):
    from dit_grid.orchestrator.backends.ray.placement import free, reserve

    first = reserve(hosts(), "store/first/1", lambda: False)

    def let_go():
        free(first)
        return False

    assert reserve(hosts(), "store/second/1", let_go).wait(1)
    assert reservations() == {"store/second/1"}


def test_a_gang_whose_hosts_stay_taken_gives_up_after_few_looks_and_holds_none(connected, monkeypatch):
    from dit_grid.orchestrator.backends.ray import placement

    placement.reserve(hosts(), "store/first/1", lambda: False)
    monkeypatch.setattr(placement, "RESERVE_S", 1.5)
    looks = []

    def look():
        looks.append(1)
        return False

    with pytest.raises(placement.CannotStartError, match="its hosts were not free within"):
        placement.reserve(hosts(), "store/second/1", look)
    assert len(looks) == 2, "it must look once a second: Ray does not wait at all for a part of one"
    assert reservations() == {"store/first/1"}


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("ask", [lambda: True, interrupt])
def test_a_gang_that_is_cancelled_or_interrupted_while_it_waits_holds_no_host(connected, ask):
    from dit_grid.orchestrator.backends.ray.placement import CannotStartError, reserve

    reserve(hosts(), "store/first/1", lambda: False)
    with pytest.raises((CannotStartError, KeyboardInterrupt)):
        reserve(hosts(), "store/second/1", ask)
    assert reservations() == {"store/first/1"}


def test_a_driver_frees_what_it_finds_of_its_store_with_no_process_on_it_and_nothing_else(connected):
    import ray
    from ray.util.placement_group import placement_group

    from dit_grid.orchestrator.backends.ray.adoption import remove_unused

    class Process:
        def here(self):
            return True

    for name in ("here/run/1", "here/run/2", "here/done/1", "there/run/2", "hereafter/run/2"):
        assert placement_group([{"TPU": 1.0}], name=name, lifetime="detached").wait(10)
    process: Any = ray.remote(Process).options(name="run/1/0/1/-", num_cpus=0).remote()
    assert ray.get(process.here.remote())
    remove_unused("here")
    assert reservations() == {"here/run/1", "there/run/2", "hereafter/run/2"}
