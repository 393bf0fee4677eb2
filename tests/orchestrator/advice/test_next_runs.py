"""What a page says to run next: the runs that a spec has left, with their price, or why there are none."""

import pytest

from dit_grid.analysis import load
from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.advice.next_runs import next_runs
from dit_grid.orchestrator.control.requests import CANCEL, PAUSE, RESUME, ask
from dit_grid.orchestrator.planning.work import record_runs

SPEC = """
name: next
store: {store}
grid: {{model.size: [S, B, L, XL], model.patch: [4, 2]}}
sizes:
  S: {{width: 32, depth: 2, heads: 2}}
  B: {{width: 48, depth: 3, heads: 3}}
  L: {{width: 64, depth: 4, heads: 4}}
  XL: {{width: 80, depth: 5, heads: 5}}
model: {{image_size: 8, channels: 1, classes: 10}}
data: {{name: digits}}
train: {{steps: 2000, batch: 128, optimizer: {{name: adamw, learning_rate: 1e-3}}}}
evaluate:
  every: 2000
  settings: [{{metrics: [fd_conv], samples: 100, sampler: ddim, steps: 5, weights: ema}}]
plan: {{mfu: 0.25, usd_per_core_hour: 0.1}}
seed: 0
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "next.yaml"
    path.write_text(SPEC.format(store=tmp_path / "store"), encoding="utf-8")
    return load_spec(path)


def finished(store, spec, left_out, off=1.0):
    """Final values on a power law of all runs but some, every other one by the factor `off` beside it."""
    for number, run in enumerate(spec.runs):
        if run.model.name in left_out:
            continue
        attempt = store.begin_attempt(run.id, 0)
        row = store.runs([run.id]).to_pylist()[0]
        with store.writer(attempt) as writer:
            value = (
                0.2 * (row["forward_macs"] / 1e9) ** -0.5 * (1.1 if row["patch"] == 2 else 1.0) * off ** (number % 2)
            )
            writer.eval({
                "run_id": run.id, "attempt": 1, "step": 2000, "metric": "fd_conv", "value": value, "protocol": "a",
                "samples": 100, "sampler": "ddim", "sampler_steps": 5, "weights": "ema", "seed": 0, "reference": "d",
            })  # fmt: skip
        store.end_attempt(attempt, "done")


def test_the_runs_that_are_left_come_with_what_they_teach_and_cost(spec, tmp_path):
    store = Store.create(spec.store)
    record_runs(spec, store)
    assert next_runs(load(spec.store), spec).said.startswith("Nothing was measured yet")
    finished(store, spec, left_out=("XL/2", "S/4"))
    for asked in (spec, None):  # the spec's, and those that the store records
        found = next_runs(load(spec.store), asked)
        assert found.said.startswith("The exponent of fd_conv is now ±")
        named = {row[0] for row in found.rows}
        assert {"new model: XL/2 seed 0", "new model: S/4 seed 0"} <= named
        assert found.titles[:2] == ("run", "exponent then known to")
        assert found.titles[-1] == "compute, GMACs"
        assert all(all(cells) for cells in found.rows)
    assert "price, USD" in next_runs(load(spec.store), spec).titles
    assert found.command.endswith("-o next.yaml && dit-grid launch next.yaml")


def test_where_no_run_of_the_grid_teaches_anything_others_are_proposed(spec, tmp_path):
    """Another seed of a model far off the law narrows nothing; what is shown first is what `suggest -o` writes."""
    path = tmp_path / "next.yaml"
    text = SPEC.format(store=tmp_path / "store").replace("\nseed: 0", "")
    path.write_text(text.replace("grid: {", "grid: {seed: [0, 1], "))
    spec = load_spec(path)
    store = Store.create(spec.store)
    record_runs(spec, store)
    first = spec.model_copy(update={"runs": tuple(run for run in spec.runs if run.seed == 0)})
    finished(store, first, left_out=(), off=3.0)
    found = next_runs(load(spec.store), spec)
    assert found.rows[0][0].startswith("new model: ")
    assert found.notes[0] == "No run left of the grid narrows it by 1 %; models beyond the grid are candidates too."
    assert found.command == f"dit-grid suggest {path} -o next.yaml && dit-grid launch next.yaml"


def test_runs_that_failed_or_that_somebody_stopped_are_not_proposed(spec):
    """A launch would start one that failed again, to the same end, and leaves alone what is cancelled or paused."""
    store = Store.create(spec.store)
    record_runs(spec, store)
    finished(store, spec, left_out=("XL/2", "S/4", "B/4", "L/4"))
    ids = {run.model.name: run.id for run in spec.runs}
    store.end_attempt(store.begin_attempt(ids["S/4"], 0), "failed")
    ask(store.files, CANCEL, [ids["B/4"]])
    ask(store.files, PAUSE, [ids["L/4"], ids["XL/2"]])
    ask(store.files, RESUME, [ids["XL/2"]])
    new = [row[0] for row in next_runs(load(spec.store), spec).rows if row[0].startswith("new model")]
    assert new == ["new model: XL/2 seed 0"]


def test_where_all_that_is_left_failed_that_is_said(tmp_path):
    """Of a trainer of one's own no model beyond the grid can be made up."""
    path = tmp_path / "own.yaml"
    path.write_text(f"name: own\nstore: {tmp_path / 'store'}\ntrainer: {{command: [train]}}\n"
                    "grid: {config.width: [8, 16, 32]}\ntrain: {steps: 20}\n")  # fmt: skip
    spec = load_spec(path)
    store = Store.create(spec.store)
    record_runs(spec, store)
    for number, run in enumerate(spec.runs):
        attempt = store.begin_attempt(run.id, 0)
        with store.writer(attempt) as writer:
            if number == 0:
                writer.eval({"step": 20, "metric": "error", "value": 0.5, "protocol": ""})
        store.end_attempt(attempt, "failed" if number else "done")
    said = next_runs(load(spec.store), spec).said
    assert "no run is left (1 done, 2 failed; `dit-grid logs RUN` says why one failed), and there is no law" in said
