"""Evaluations as jobs of their own through Ray: on this machine with its launch killed, and on pretend slices."""

import os
import signal
import subprocess
import sys
import time

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.check import check
from dit_grid.orchestrator.core import Phase
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.work import record_runs, unfinished

pytestmark = pytest.mark.slow

SAME = ["run_id", "step", "metric", "protocol", "value"]

SPEC = """
name: apart
store: {store}
grid: {{model.size: [S, B], model.patch: [4]}}
sizes:
  S: {{width: 64, depth: 3, heads: 2}}
  B: {{width: 24, depth: 1, heads: 2}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: 60, batch: 8, log_every: 10}}
evaluate:
  every: 20
  settings: [{{metrics: [heldout_loss], samples: 64}}, {{metrics: [fd_conv], samples: 40, sampler: ddim, steps: 3}}]
execution: {{resources: {{slice: v4-16}}, keep_checkpoints: 1, checkpoint_every: 60, steps_per_call: 10, flush_s: 0.2}}
overrides: {{"B/*": {{execution: {{resources: {{slice: v3-8}}}}}}}}
"""
"""S is trained, and measured, by two processes on a v4-16; B by one on a v3-8."""

APART = """
  "S/*": {execution: {evaluate_on: {slice: v4-16}}}
  "B/*": {execution: {resources: {slice: v3-8}, evaluate_on: {slice: v3-8}}}
"""


def rows(where):
    return Store.open(str(where)).evals().select(SAME).to_pylist()


def launched(path):
    command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(path), "--no-compile"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def test_a_launch_killed_while_it_measures_goes_on_and_ends_with_the_same_rows(miniature_spec, ray_folder, tmp_path):
    path = miniature_spec(tmp_path)
    inside = path.read_text().replace("[S, B]", "[S]").replace(": 1200", ": 300").replace(": 400", ": 100")
    path.write_text(inside.replace(str(tmp_path / "store"), str(tmp_path / "inside")))
    assert launched(path).wait(300) == 0
    path.write_text(inside.replace("execution:\n", "execution:\n  evaluate_on: {cpus: 1}\n  keep_checkpoints: 1\n"))
    first = launched(path)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("store/logs/*.eval-*/*.log")):
        assert first.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert launched(path).wait(300) == 0
    assert rows(tmp_path / "store") == rows(tmp_path / "inside")
    store = Store.open(str(tmp_path / "store"))
    assert {state.outcome for state in store.states().values()} == {"done"}
    assert check(store) == []


def test_gangs_on_slices_train_and_others_measure_the_same_numbers(ray_folder, tmp_path):
    from dit_grid.orchestrator.backends.ray import RayBackend
    from dit_grid.orchestrator.backends.ray.fake_slices import fake_cluster

    found = []
    with fake_cluster({"first": "v4-16", "second": "v4-16", "one": "v3-8"}) as made:
        made.cluster.wait_for_nodes()
        for name in ("inside", "apart"):
            path = tmp_path / f"{name}.yaml"
            text = SPEC.format(store=tmp_path / name)
            path.write_text(text.partition("overrides:")[0] + "overrides:" + APART if name == "apart" else text)
            spec = load_spec(path)
            store = Store.create(spec.store)
            record_runs(spec, store)
            backend = RayBackend(spec.store, made.address)
            try:
                state = drive(unfinished(spec), store, backend)
            finally:
                backend.close()
            assert {run.phase for run in state.in_order()} == {Phase.DONE}, [run.reason for run in state.in_order()]
            assert {one.outcome for one in store.states().values()} == {"done"}
            found.append(rows(spec.store))
    assert found[0] == found[1]
    assert len(found[0]) == 2 * 3 * 2
    held = {run.past[-1].slice for run in state.in_order() if run.of.startswith("s-4")}
    assert held <= {"first", "second"}, "a gang of two measured"
