"""Specs of 3,000 kinds of damage: a plan, or every mistake in a line; `plan` reckons with all that is taken."""

import json
from dataclasses import asdict
from pathlib import Path

from dit_grid.experiments.spec import load_spec
from dit_grid.orchestrator.planning.plan import plan

INPUTS = 3000
EXPERIMENTS = Path(__file__).parents[2] / "experiments"

SPEC = b"""name: test
store: results/test
grid:
  model.size: [S, B]
  model.patch: [4, 2]
sizes:
  S: {width: 16, depth: 1, heads: 2}
  B: {width: 32, depth: 1, heads: 2}
model: {image_size: 8, channels: 1, classes: 10}
data: {name: digits, heldout: 5}
train: {steps: 40, batch: 8, log_every: 10, ema: {decay: 0.9, warmup: true}, optimizer: {learning_rate: 1e-3}}
evaluate:
  every: 20
  settings: [{metrics: [fd_conv], samples: 10, steps: 5, guidance: 1.5, guidance_interval: [10, 700]}]
execution: {checkpoint_every: 20, resources: {cpus: 1}, priority: 3, flush_s: 5}
overrides: {"S/*": {train: {batch: 16}}}
exclude: ["B/2"]
runs: [{model: {size: XL, patch: 8}, train: {batch: 4}}]
groups: {more: [{model: {size: L, patch: 4}}]}
plan: {mfu: 0.3, usd_per_core_hour: 2, preemptions_per_hour: 0.1}
cluster: {order: cheapest, budget: {slices: 3, usd: 100}}
until: {target: "exponent +-0.05", metric: fd_conv}
seed: 1
"""


def planned(path):
    """What `plan --json` would print, and the rows of the store: numbers that JSON and 64 bits can hold."""
    spec = load_spec(path, ["more"])
    rows = [asdict(row) for row in plan(spec)]
    for row in rows:
        assert 0 <= row["params"] < 2**63
    return json.dumps(rows, allow_nan=False)


def test_damaged_specs(fuzz, damage, inputs):
    refused = fuzz(SPEC, planned, inputs, damage=damage.text, name="spec.yaml", multiple=2000)
    assert refused > inputs / 3


def test_damaged_bytes_of_specs(fuzz, inputs):
    assert fuzz(SPEC, planned, inputs, name="spec.yaml", multiple=2000)
