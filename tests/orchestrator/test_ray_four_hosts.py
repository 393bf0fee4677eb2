"""A pretend v3-32: four hosts, a gang of four JAX processes that train one run together; and speeds measured on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
    from dit_grid.orchestrator.ray_backend.fake_slices import fake_cluster

    with fake_cluster({"pod": "v3-32"}) as cluster:
        yield cluster.address


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "four.yaml"
    path.write_text(SPEC.format(store=tmp_path / "store"))
    return path


def dit_grid(*arguments):
    command = [sys.executable, "-m", "dit_grid.orchestrator.cli", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=400, env={**os.environ, "NO_COLOR": "1"})
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_four_processes_train_one_run_each_with_a_quarter_of_the_batch(address, spec):
    dit_grid("launch", spec, "--address", address)
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
