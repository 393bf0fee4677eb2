"""The miniature grid: two real models, twelve hundred real steps each, on real digits."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

MINIATURE = """
name: miniature
store: {store}
grid:
  model.size: [S, B]
  model.patch: [4]
sizes:
  S: {{width: 16, depth: 1, heads: 2}}
  B: {{width: 24, depth: 2, heads: 2}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train:
  steps: 1200
  batch: 16
  optimizer: {{learning_rate: 1e-3}}
  ema: {{decay: 0.9, warmup: true}}
  log_every: 100
evaluate:
  every: 400
  settings:
    - {{metrics: [fd_conv, accuracy], samples: 100, sampler: ddim, steps: 4}}
    - {{metrics: [heldout_loss], samples: 297}}
execution:
  resources: {{cpus: 1}}
  checkpoint_every: 400
  steps_per_call: 100
  flush_s: 0.2
cluster: {{settle_s: 0.5, backoff_s: 0.2}}
"""


@pytest.fixture(scope="session")
def miniature_spec():
    """A function that writes the miniature's spec into a folder, its store beside it, and returns the file."""

    def write(folder):
        path = folder / "miniature.yaml"
        path.write_text(MINIATURE.format(store=folder / "store"))
        return path

    return write


@pytest.fixture(scope="module")
def ray_folder():
    """A folder of its own for the Rays of a test module; their sockets allow only 107 characters of path."""
    folder, before = tempfile.mkdtemp(prefix="r"), os.environ.get("RAY_TMPDIR")
    os.environ["RAY_TMPDIR"] = folder
    yield folder
    if before is None:
        del os.environ["RAY_TMPDIR"]
    else:
        os.environ["RAY_TMPDIR"] = before
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def bucket(monkeypatch):
    """An emulated bucket at gs://bucket for this test and the processes that it starts; its address."""
    program = Path(__file__).parents[1] / "experiments" / "store" / "gcs_emulator.py"
    with subprocess.Popen(
        [sys.executable, str(program), "bucket"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        yield address
        running.stdin.close()
