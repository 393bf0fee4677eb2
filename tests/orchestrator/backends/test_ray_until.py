"""`launch --until` from the command line to its end: real models train until the law is known well enough."""

import subprocess
import sys

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store

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
    assert f"{left} runs were not started or not finished. Launched without --until they are run." in ended.stdout
