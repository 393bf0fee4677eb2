"""`launch --until` from the command line to its end: real models train until the law is known well enough."""

import json
import re
import subprocess
import sys

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.model.plurals import counted, was

pytestmark = pytest.mark.slow

SPEC = """
name: until
store: {store}
grid: {{model.size: [S, B, C, D], model.patch: [8, 4]}}
sizes:
  S: {{width: 16, depth: 1, heads: 2}}
  B: {{width: 24, depth: 1, heads: 2}}
  C: {{width: 32, depth: 1, heads: 2}}
  D: {{width: 48, depth: 2, heads: 2}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: 200, batch: 16, log_every: 100}}
evaluate: {{every: 200, settings: [{{metrics: [heldout_loss], samples: 297}}]}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: 200, steps_per_call: 100}}
"""


def test_a_launch_until_a_target_stops_when_it_is_met_and_says_so(ray_folder, tmp_path):
    path = tmp_path / "until.yaml"
    path.write_text(SPEC.format(store=tmp_path / "store"))
    command = [
        sys.executable,
        "-m",
        "dit_grid.orchestrator",
        "launch",
        str(path),
        "--until",
        "exponent ±50",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert "target met: exponent" in ended.stdout
    spec = load_spec(path)
    states = Store.open(spec.store).states()
    done = {run_id for run_id, state in states.items() if state.outcome == "done"}
    assert done == set(states)  # what had begun was brought to its end
    assert 3 <= len(done) < len(spec.runs)
    left = len(spec.runs) - len(done)
    said = f"{counted(left, 'run')} {was(left)} not started or not finished. Launched without --until they are run."
    assert said in ended.stdout


FALLING = """
import time

def train(run):
    for step in range(run.step + 1, run.steps + 1):
        time.sleep(0.4)
        run.log(step, loss=1 / step)
        stop = run.stop_requested
        if step % 5 == 0 or stop:
            if step % 5 == 0:
                run.evaluate(step, distance=run.config["width"] * (1 + 20 / step), samples=7)
            (run.checkpoint_folder(step) / "state").write_text("")
            run.commit(step)
        if stop:
            return
"""

IMPATIENT = """
from dit_grid.orchestrator.advice import watch
from dit_grid.orchestrator.commands.cli import main

watch.EVERY_S, watch.SHARE = 1.0, 1.0
main()
"""
"""A launch that looks every second; usually it takes a fiftieth of its time for that, too little for a minute."""

OWN = """
name: falling
store: {store}
trainer: falling:train
grid: {{config.width: [1, 2, 3, 4]}}
metrics: {{distance: {{scale: log}}}}
train: {{steps: 60, log_every: 1}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: 5, flush_s: 0.2}}
"""


def test_runs_whose_end_is_known_are_ended_and_go_on_without_the_target(ray_folder, tmp_path):
    """A trainer that mostly sleeps, along a curve that is plain: its later runs need not be run to their end."""
    (tmp_path / "falling.py").write_text(FALLING)
    path = tmp_path / "falling.yaml"
    path.write_text(OWN.format(store=tmp_path / "store"))
    launch = [sys.executable, "-c", IMPATIENT, "launch", str(path)]
    ended = subprocess.run([*launch, "--until", "final ±30%"], capture_output=True, text=True, timeout=400)
    assert ended.returncode == 0, ended.stderr
    early = [line for line in ended.stdout.splitlines() if " end known: distance " in line and line[0] != "["]
    assert early, ended.stdout
    assert "Launched without --until they go on from their checkpoints" in ended.stdout
    store = Store.open(str(tmp_path / "store"))
    steps = {run_id: max(store.evals([run_id])["step"].to_pylist()) for run_id in store.run_ids()}
    for line in early:
        run_id, value, share = re.search(r"^(\S+) end known: distance (\S+) ±(\S+)%", line).groups()
        width = json.loads(store.runs([run_id])["spec"][0].as_py())["config"]["width"]
        assert 15 <= steps[run_id] < 60
        assert float(value) == pytest.approx(width * (1 + 20 / 60), rel=float(share) / 100)
    again = subprocess.run(launch, capture_output=True, text=True, timeout=400)
    assert again.returncode == 0, again.stderr
    assert {state.outcome for state in Store.open(str(tmp_path / "store")).states().values()} == {"done"}
