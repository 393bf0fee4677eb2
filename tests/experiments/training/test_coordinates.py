"""Activations over the first updates: flat in width under mup, steep without, and a spec that cannot say is refused."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.training.coordinates import comparable, coordinates, slopes
from dit_grid.orchestrator.commands.cli import cli

SPEC = """name: widths
store: results/widths
grid: {model.size: [A, C], model.patch: [8]}
sizes:
  A: {width: 16, depth: 1, heads: 2}
  C: {width: 128, depth: 1, heads: 16}
model: {image_size: 8, channels: 1, classes: 10}
data: {name: digits}
train: {steps: 20, batch: 32, log_every: 10, optimizer: {learning_rate: 1e-3}}
evaluate: {every: 20}
execution: {checkpoint_every: 20}
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "widths.yaml"
    path.write_text(SPEC)
    return path


def test_activations_move_alike_at_every_width_under_mup_alone(spec, tmp_path):
    figure = tmp_path / "coordinates.svg"
    ran = CliRunner().invoke(cli, ["coordinates", str(spec), "--steps", "3", "--json", "--figure", str(figure)],
                             catch_exceptions=False)  # fmt: skip
    said = json.loads(ran.stdout)
    change = {(s["parametrization"], s["layer"]): s["change"] for s in said["slopes"]}
    assert {layer for _, layer in change} == {"patches", "block 1", "output"}
    # Over eight times the width the output moves by eight times as much, or as far; one seed is off by up to 0.2.
    assert change["standard", "output"] == pytest.approx(1, abs=0.35)
    assert all(abs(slope) < 0.2 for (name, _), slope in change.items() if name == "mup")
    assert [(c["layer"], c["step"]) for c in said["coordinates"][:12]] == [
        (layer, step) for step in range(4) for layer in ("patches", "block 1", "output")
    ]
    first = [c for c in said["coordinates"] if c["step"] == 0]
    assert all(c["change"] == 0 for c in first)
    assert all(c["size"] > 0 for c in first if c["layer"] != "output")
    assert figure.read_bytes().startswith(b"<?xml")


def test_only_models_that_differ_in_width_alone_are_compared(tmp_path):
    path = tmp_path / "mixed.yaml"
    path.write_text(
        SPEC.replace("[A, C]", "[A, B, C]").replace("sizes:", "sizes:\n  B: {width: 24, depth: 2, heads: 3}")
    )
    runs, left = comparable(load_spec(path).networks)
    assert ([run.model.name for run in runs], left) == (["A/8", "C/8"], ["B/8"])
    with pytest.raises(DataError, match=r"no two of the 1 runs differ in width alone"):
        comparable(runs[:1])


def test_seeds_are_averaged(spec):
    runs, _ = comparable(load_spec(spec).networks)
    found = coordinates(runs[:1], ["standard"], 0, seeds=2)
    alone = coordinates([runs[0].model_copy(update={"seed": 1})], ["standard"], 0)
    assert [(c.layer, c.step) for c in found] == [("patches", 0), ("block 1", 0), ("output", 0)]
    assert found[0].size != alone[0].size
    assert np.isnan([s.change for s in slopes(found)]).all()  # one width has no slope


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--figure", "coordinates.gif"], "--figure coordinates.gif: the name says the kind of file"),
        (["--steps", "0"], "0 is not in the range x>=1"),
    ],
)
def test_a_wrong_request_is_one_line(spec, arguments, message):
    ran = CliRunner().invoke(cli, ["coordinates", str(spec), *arguments])
    assert message in (ran.output or "") + str(ran.exception or "")
