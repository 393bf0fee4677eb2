"""Processes of a launch on this machine: the next run takes the one whose run is done, and none that failed."""

import os
import subprocess
import sys

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.run_logs import read_log

pytestmark = pytest.mark.slow

FOUR = """
name: in-turn
store: {store}
grid: {{model.size: [S, N, B, C], model.patch: [4]}}
sizes:
  S: {{width: 16, depth: 1, heads: 2}}
  N: {{width: 16, depth: 1, heads: 2}}
  B: {{width: 24, depth: 1, heads: 2}}
  C: {{width: 24, depth: 1, heads: 2}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: 40, batch: 16, log_every: 20, optimizer: {{name: sgd, learning_rate: 1e-3}}}}
evaluate: {{every: 40, settings: [{{metrics: [heldout_loss], samples: 297}}]}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: 40, steps_per_call: 20}}
overrides: {{"N/*": {{train: {{optimizer: {{learning_rate: 1.0e30}}}}}}}}
cluster: {{settle_s: 0.5}}
"""
"""One after another on one core: N diverges, and C is B by another name."""


@pytest.fixture(scope="module")
def launched(ray_folder, tmp_path_factory):
    """The runs' ids by size, and the store that a launch on one core of this machine made."""
    folder = tmp_path_factory.mktemp("in-turn")
    spec = folder / "spec.yaml"
    spec.write_text(FOUR.format(store=folder / "store"))
    core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(spec)],
        capture_output=True, text=True, timeout=300, preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # for N
    return {run.model.size: run.id for run in load_spec(spec).runs}, Store.open(str(folder / "store"))


def pid(store, run_id):
    (record,) = store.attempts(run_id)
    return record.start["pid"]


def test_a_run_takes_the_process_of_one_that_is_done_and_a_fresh_one_after_a_failure(launched):
    runs, store = launched
    process = {size: pid(store, run_id) for size, run_id in runs.items()}
    assert process["S"] == process["N"]
    assert process["B"] == process["C"]
    assert process["N"] != process["B"]


def test_a_process_used_again_gives_the_numbers_of_a_fresh_one(launched, numbers):
    runs, store = launched
    found = numbers(store)
    for rows in found.values():
        fresh, again = (
            [{name: value for name, value in row.items() if name != "run_id"} for row in rows if row["run_id"] == run]
            for run in (runs["B"], runs["C"])
        )
        assert fresh
        assert fresh == again


def test_each_run_of_a_process_has_a_log_of_its_own(launched):
    runs, store = launched
    assert "nan after step" in read_log(store, runs["N"], 1)
    for size in ("S", "B", "C"):
        lines = read_log(store, runs[size], 1).splitlines()
        assert [line for line in lines if " step 40/40 done" in line]
        assert sum("done after step 40" in line for line in lines) == 1
