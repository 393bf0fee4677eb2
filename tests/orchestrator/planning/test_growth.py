"""What a plan of finished runs does grows as they do: counted in calls of functions, not in seconds."""

import sys

import pytest
from click.testing import CliRunner

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.planning.work import record_runs

SPEC = """
name: grows
store: {store}
grid: {{seed: {seeds}, model.size: [S, B, L]}}
sizes:
  S: {{width: 8, depth: 1, heads: 1}}
  B: {{width: 12, depth: 1, heads: 1}}
  L: {{width: 16, depth: 1, heads: 1}}
model: {{patch: 4, image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: 100}}
evaluate: {{every: 100, settings: [{{metrics: [heldout_loss]}}]}}
"""


@pytest.fixture
def finished(tmp_path):
    """A function that makes a grid of three models by so many seeds, every run done, and returns its spec's file."""

    def made(seeds):
        file = tmp_path / f"{seeds}.yaml"
        file.write_text(SPEC.format(store=tmp_path / f"store-{seeds}", seeds=list(range(seeds))))
        spec = load_spec(file)
        store = Store.create(spec.store)
        record_runs(spec, store)
        for run in spec.runs:
            attempt = store.begin_attempt(run.id, 0)
            with store.writer(attempt) as writer:
                for step in (50, 100):
                    writer.train({"step": step, "loss": 1 / step, "steps_per_s": 20.0})
                value = 1.0 / run.model.width + run.seed / 1e4
                writer.eval({"step": 100, "metric": "heldout_loss", "value": value, "protocol": "p"})
            store.end_attempt(attempt, "done")
        return file

    return made


def calls_of(file):
    """How many functions, of Python and of C, `dit-grid plan` calls."""
    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        CliRunner().invoke(cli, ["plan", str(file)], catch_exceptions=False)
    finally:
        sys.setprofile(None)
    return count


def test_a_plan_of_finished_runs_calls_as_many_functions_a_run_however_many_there_are(finished):
    files = [finished(seeds) for seeds in (4, 8, 12)]
    calls_of(files[0])  # which loads what there is to load
    few, more, most = (calls_of(file) for file in files)
    assert most - more < 1.05 * (more - few)
