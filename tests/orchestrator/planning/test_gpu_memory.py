"""The estimate of a GPU's memory, held against what XLA reserves for the same training step on a CPU."""

import json

import jax
import pytest

from dit_grid.experiments.spec import RunSpec, load_spec
from dit_grid.experiments.training.update import Program
from dit_grid.orchestrator.commands import cli
from dit_grid.orchestrator.planning.gpu_memory import (
    estimate_lines,
    estimated_bytes,
    estimates,
    kept_bytes,
    state_bytes,
)

SPEC = """
name: on-gpus
store: {store}
model: {{size: XL, patch: 2, image_size: 32}}
runs: [{{seed: 1}}]
data: {{name: imagenet256-latents}}
train: {{steps: 1000, batch: 256}}
evaluate: {{every: 1000}}
execution: {{resources: {{gpus: 8}}, checkpoint_every: 1000{execution}}}
"""

SMALL = {"size": "tiny", "patch": 2, "image_size": 16, "width": 64, "depth": 3, "heads": 4, "classes": 10}
WIDE = {"size": "wide", "patch": 4, "image_size": 16, "width": 256, "depth": 2, "heads": 4, "classes": 10}


def run_of(model, batch, optimizer="adamw"):
    return RunSpec.model_validate({
        "model": model, "data": {"name": "none"}, "evaluate": {"every": 100},
        "train": {"steps": 100, "batch": batch, "optimizer": {"name": optimizer}},
        "execution": {"checkpoint_every": 100},
    })  # fmt: skip


@pytest.mark.parametrize(
    ("model", "batch", "optimizer"),
    [(SMALL, 32, "adamw"), (WIDE, 64, "adamw"), (WIDE, 4, "lion")],
)
def test_the_estimate_is_within_a_factor_of_two_of_what_xla_reserves(model, batch, optimizer):
    run = run_of(model, batch, optimizer)
    lowered, _ = Program(run, jax.devices()[:1]).lower_step()  # with the compiler's own options, not the quick ones
    memory = lowered.compile().memory_analysis()
    reserved = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    reserved += memory.temp_size_in_bytes
    # A factor of two: fusion decides which activations are stored, which accounting cannot know.
    assert 0.5 < (state_bytes(run) + kept_bytes(run)) / reserved < 2


def test_a_plan_says_the_estimate_and_refuses_nothing(tmp_path, monkeypatch, capsys):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.format(store=tmp_path / "store", execution=""))
    (run,) = load_spec(path).networks
    monkeypatch.setattr("sys.argv", ["dit-grid", "plan", str(path), "--json"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    (row,) = json.loads(capsys.readouterr().out)
    assert row["gpu_memory_bytes"] == estimated_bytes(run)
    (line,) = estimate_lines([run], estimates([run]))
    assert "an estimate" in line
    assert "one of 80 GiB or more (A100 80GB, H100)" in line
    huge = run.model_copy(update={"train": run.train.model_copy(update={"batch": 4096})})
    assert "more than 180 GiB" in estimate_lines([huge], estimates([huge]))[0]


def test_the_state_is_divided_as_the_layout_says(tmp_path):
    path = tmp_path / "spec.yaml"
    held = []
    for execution in ("", ", sharding: host", ", mesh: {fsdp: 2}", ", mesh: {fsdp: 2, tensor: 4}"):
        path.write_text(SPEC.format(store=tmp_path / "store", execution=execution))
        (run,) = load_spec(path).networks
        held.append(estimates([run])[run.id] - kept_bytes(run, 8))
    assert held == [state_bytes(run), state_bytes(run, 8), state_bytes(run, 2), state_bytes(run, 8)]
    on_cpus = run_of(SMALL, 8)
    assert estimated_bytes(on_cpus) is None
