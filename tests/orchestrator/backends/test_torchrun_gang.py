"""A gang of torchrun on pretend slices: real Ray nodes, real ranks that reduce over gloo, and a host that dies."""

import os
import subprocess
import sys
import time
from importlib import util

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import NotAStoreError, Store
from dit_grid.experiments.training.checkpoint_list import live_checkpoints
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.core import advance

pytestmark = [pytest.mark.slow, pytest.mark.oracle]

SPEC = """
name: torchrun
store: {store}
trainer: {{command: ["{{python}}", -m, torch.distributed.run, --nproc-per-node, 2, summed.py]}}
grid: {{seed: [0]}}
train: {{steps: 60}}
execution: {{resources: {{slice: v4-16}}, checkpoint_every: 10, flush_s: 0.2}}
cluster: {{settle_s: 5, backoff_s: 0.2}}
"""

PROGRAM = """
import os, time, torch, torch.distributed as dist
from dit_grid.experiments import current_run as run

dist.init_process_group("gloo")
rank, state = dist.get_rank(), torch.zeros(())
if run.step:
    state = torch.load(run.checkpoint_folder(run.step) / "state.pt", weights_only=True)
for step in range(run.step + 1, run.steps + 1):
    part = torch.tensor(float(step * (rank + 1)))
    dist.all_reduce(part)
    state = 0.5 * state + part / dist.get_world_size()
    time.sleep(0.0 if run.step else 0.2)
    run.log(step, loss=state.item())
    stop = torch.tensor(float(run.stop_requested))
    dist.broadcast(stop, 0)
    if step % run.checkpoint_every == 0 or stop:
        if rank == 0:
            torch.save(state, run.checkpoint_folder(step) / "state.pt")
        dist.barrier()
        run.commit(step)
    if stop:
        break
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def cluster(ray_folder):
    if util.find_spec("torch") is None:
        pytest.skip("needs torch: uv sync --group oracle")
    from dit_grid.orchestrator.backends.ray.fake_slices import fake_cluster

    with fake_cluster({"pod": "v4-16"}) as made:
        yield made


def newest(where, run):
    try:
        return live_checkpoints(Store.open(where), run)[-1][0]
    except (NotAStoreError, IndexError):
        return 0


def outcomes(store, run):
    """How the driver judged each gang of the run, by its journal; the last may have ended the launch before its row."""
    state, told = journal.read(store.events().to_pylist())
    for event, _ in told:
        state, _ = advance(state, event)
    return [attempt.outcome for attempt in state.runs[run].past]


def test_a_host_of_a_torchrun_that_dies_is_a_preemption_and_the_run_goes_on_with_each_row_once(cluster, tmp_path):
    (tmp_path / "summed.py").write_text(PROGRAM)
    path = tmp_path / "torchrun.yaml"
    path.write_text(SPEC.format(store=tmp_path / "store"))
    (run,), where = load_spec(path).runs, str(tmp_path / "store")
    line = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(path), "--address", cluster.address]
    launch = subprocess.Popen(line, env={**os.environ, "NO_COLOR": "1"}, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 240
        while not newest(where, run.id):
            assert time.monotonic() < deadline
            assert launch.poll() is None
            time.sleep(0.2)
        cluster.replace_host("pod", 1)
        said, _ = launch.communicate(timeout=240)
    finally:
        launch.kill()
    assert launch.returncode == 0, said
    first, second = Store.open(where).attempts(run.id)
    assert (second.outcome, second.start["processes"]) == ("done", 2)
    assert second.attempt.resume_step >= 10
    state, expected = 0.0, []
    for step in range(1, 61):
        state = 0.5 * state + 2.5 * step
        expected.append((step, pytest.approx(state, rel=1e-6)))
    assert [(row["step"], row["loss"]) for row in Store.open(where).train().to_pylist()] == expected
    assert first.outcome != "done"
    assert outcomes(Store.open(where), run.id)[0] == "preempted"
