"""Small grids of two real models on real digits, and what of a launch must be the same whatever happened."""

import os
import shutil
import tempfile

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

SMALL = """
name: miniature
store: {store}
grid: {{model.size: [{sizes}], model.patch: [4]}}
sizes: {{S: {{width: 16, depth: 1, heads: 2}}, B: {{width: 24, depth: 1, heads: 2}}}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
"""

NUMBERS = {
    "train": ["run_id", "step", "loss", "mse", "vb", "grad_norm", "param_norm", "learning_rate"],
    "evals": ["run_id", "step", "metric", "protocol", "value", "samples", "weights", "seed"],
}
"""The columns that must not depend on what happened on the way; speeds and clocks do."""


@pytest.fixture(scope="session")
def miniature_spec():
    """A function that writes the miniature's spec into a folder, its store beside it, and returns the file."""

    def write(folder):
        path = folder / "miniature.yaml"
        path.write_text(MINIATURE.format(store=folder / "store"))
        return path

    return write


@pytest.fixture(scope="session")
def small_spec():
    """A function that writes a spec of the two smallest models, or of one, into a file, and returns it; the rest is
    given."""

    def write(path, store, how, sizes="S, B"):
        path.write_text(SMALL.format(store=store, sizes=sizes) + how)
        return path

    return write


@pytest.fixture(scope="session")
def numbers():
    """A function that reads a store's NUMBERS, in order, by table."""

    def read(store):
        return {name: getattr(store, name)().select(columns).to_pylist() for name, columns in NUMBERS.items()}

    return read


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
