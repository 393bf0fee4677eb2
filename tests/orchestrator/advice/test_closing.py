"""What a launch ends with: the best samples beside real ones, what to run next, where to look."""

import pytest

from dit_grid.analysis import load
from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.advice.closing import closing
from dit_grid.orchestrator.planning.work import record_runs

SPEC = """name: end
store: {store}
grid: {{seed: [0, 1], model.size: [S, B, L, XL], model.patch: [4]}}
sizes:
  S: {{width: 16, depth: 1, heads: 2}}
  B: {{width: 24, depth: 1, heads: 2}}
  L: {{width: 32, depth: 2, heads: 2}}
  XL: {{width: 48, depth: 2, heads: 2}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: 40, batch: 8, log_every: 10}}
evaluate: {{every: 40, settings: [{{metrics: [fd_conv, accuracy], samples: 1000, steps: 5}}]}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: 40}}
"""


def finished(folder, samples=1000, more=()):
    """A spec whose four models are measured, the largest best, and their other seed not run; `more` metrics as well."""
    path = folder / "end.yaml"
    path.write_text(SPEC.format(store=folder / "store"))
    spec = load_spec(path)
    store = Store.create(spec.store)
    record_runs(spec, store)
    for k, run in enumerate(run for run in spec.runs if run.seed == 0):
        attempt = store.begin_attempt(run.id, 0)
        with store.writer(attempt) as writer:
            values = [("fd_conv", 40.0 / 2**k, "a"), ("accuracy", 0.5 + 0.1 * k, "a"), *more]
            for metric, value, protocol in values:
                writer.eval({
                    "run_id": run.id, "attempt": 1, "step": 40, "metric": metric, "value": value, "protocol": protocol,
                    "samples": samples, "sampler": "ddpm", "sampler_steps": 5, "weights": "ema", "seed": 0,
                    "guidance": 1.0 if protocol == "a" else 4.0, "reference": "d",
                })  # fmt: skip
        store.end_attempt(attempt, "done")
    return spec


@pytest.fixture
def spec(tmp_path):
    return finished(tmp_path)


def test_each_metric_is_that_of_its_main_protocol(tmp_path):
    spec = finished(tmp_path, more=[("fd_conv", 99.0, "guided"), ("accuracy", 0.1, "guided")])
    best, *_ = closing(load(spec.store), spec, str(tmp_path))
    assert best == "Best samples: XL/4, fd_conv 5 (real images 0.573); accuracy 0.8 (real images 0.99)"


def test_where_nothing_says_how_many_samples_there_were_no_real_ones_are_put_beside(tmp_path):
    """A trainer of somebody's own need not say."""
    spec = finished(tmp_path, samples=None)
    best, *_ = closing(load(spec.store), spec, str(tmp_path))
    assert best == "Best: XL/4, fd_conv 5"


def test_the_best_samples_stand_beside_real_images_and_a_run_beside_its_price(spec, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "figure07_samples.png").write_bytes(b"")
    best, following, command, samples, report = closing(load(spec.store), spec, str(tmp_path / "figures"))
    assert best == "Best samples: XL/4, fd_conv 5 (real images 0.573); accuracy 0.8 (real images 0.99)"
    assert following.startswith("What to run next: ")
    assert "new model: " in following
    assert "GMACs" in following
    assert command.strip() == f"dit-grid suggest {spec.file} -o next.yaml && dit-grid launch next.yaml"
    assert samples.endswith("figure07_samples.png")
    assert report.endswith(f"dit-grid report {spec.file}")
