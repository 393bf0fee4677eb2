"""Said of a spec that is no mistake and seldom meant: unused and built-in sizes, averages that do not forget."""

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.spec.notes import initial_share
from dit_grid.experiments.spec.run import EmaSpec

SPEC = """name: test
store: results/test
grid: {model.size: [S], model.patch: [4, 2]}
sizes:
  SIZE: {width: 16, depth: 1, heads: 2}
  B: {width: 32, depth: 1, heads: 2}
model: {image_size: 8, channels: 1, classes: 10}
data: {name: digits}
train: {steps: STEPS, log_every: 10, ema: {decay: DECAY, warmup: WARMUP}}
evaluate: {every: 20, settings: [{metrics: [heldout_loss], samples: 10, steps: 5, weights: WEIGHTS}]}
execution: {checkpoint_every: 20}
groups: {larger: [{model: {size: B, patch: 2}}]}
"""


def notes(tmp_path, SIZE="S", STEPS=60, DECAY=0.5, WARMUP="false", WEIGHTS="ema"):
    text = SPEC
    for name, value in {"SIZE": SIZE, "STEPS": STEPS, "DECAY": DECAY, "WARMUP": WARMUP, "WEIGHTS": WEIGHTS}.items():
        text = text.replace(name, str(value))
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    return [note.replace(str(path), "spec.yaml") for note in load_spec(path).notes]


def test_nothing_is_said_where_all_is_used_and_the_average_forgot(tmp_path):
    assert notes(tmp_path) == []


def test_a_size_with_a_typing_mistake_is_said_and_so_is_the_one_that_is_taken(tmp_path):
    unused, taken = notes(tmp_path, SIZE="Sx")
    assert unused == "spec.yaml:5: sizes.Sx: defined, and no run has it (did you mean 'S'?)"
    assert taken.startswith(
        "spec.yaml:3: model.size: 'S' is not among the file's own sizes (Sx, B), so it is the paper's"
    )
    assert taken.endswith("width 384, depth 12, heads 6 (did you mean 'Sx'?)")


def test_an_average_that_outlives_the_run_is_said(tmp_path):
    """0.9999^60 = 0.994: what is sampled from is the network before training."""
    (note,) = notes(tmp_path, DECAY=0.9999)
    assert "decay 0.9999 remembers 10,000 updates and the run has 60: 99.4 % of the average" in note
    assert note.endswith("(S/4, S/2)")


@pytest.mark.parametrize("change", [{"WARMUP": "true"}, {"WEIGHTS": "raw"}, {"STEPS": 40_000}, {"DECAY": 0.9}])
def test_an_average_that_forgot_or_is_not_measured_is_not(tmp_path, change):
    assert notes(tmp_path, **{"DECAY": 0.9999} | change) == []


def test_the_share_of_initial_weights_is_that_of_the_average_itself():
    """The average of 1 at the beginning and 0 ever after, update by update as the trainer makes it."""
    ema = pytest.importorskip("dit_grid.model.ema")
    for spec, steps in ((EmaSpec(decay=0.99), 50), (EmaSpec(decay=0.9, warmup=True), 30)):
        average = 1.0
        for step in range(1, steps + 1):
            average = float(ema.ema_update(average, 0.0, ema.ema_decay(step, spec.decay, spec.warmup)))
        assert initial_share(spec, steps) == pytest.approx(average, rel=1e-4)
