"""The alarm on real training losses of digits models: silent on three healthy grids, heard on faults that were made.

`digits_losses.npz` holds what `experiments/digits.yaml` at patches 4 and 8 logged every 26 of 1,300 steps at seeds 0 to
2; and one model each with a rate 30 times too high, and with noise in place of a share of the images from step 650 on.
`benchmarks/early_alarm.py` trains them again. They are what the alarm is asked about, and no expected values.
"""

from pathlib import Path

import numpy as np
import pytest

from dit_grid.analysis.curves import departures

EVERY, STEPS = 26, 1300
AT = np.arange(EVERY, STEPS + 1, EVERY, dtype=float)


@pytest.fixture(scope="module")
def losses():
    """(grid or fault, model) -> losses of 50 windows and parameters."""
    with np.load(Path(__file__).parent / "digits_losses.npz") as file:
        keys = [(name, *name.split("|")) for name in file.files]
        return {(of, model): (file[name].astype(float), int(params)) for name, of, model, params in keys}


def looked(runs):
    records = [
        {"run_id": name, "spec": "{}", "seed": seed, "steps": STEPS, "params": params}
        for name, (seed, _, params) in runs.items()
    ]
    return departures(records, {name: (AT, rows) for name, (_, rows, _) in runs.items()})


def healthy(losses, *seeds):
    return {f"{model} {of}": (of, rows, params) for (of, model), (rows, params) in losses.items() if of in seeds}


@pytest.mark.parametrize("seeds", [("seed0",), ("seed1",), ("seed2",), ("seed0", "seed1", "seed2")])
def test_no_healthy_run_is_flagged(losses, seeds):
    found = looked(healthy(losses, *seeds))
    assert found.left == ()
    assert found.looked_at == 8 * len(seeds)


@pytest.mark.parametrize(
    ("fault", "began", "ended", "size"),
    [
        ("third of the images noise", 650, 700, (0.3, 0.6)),
        ("tenth of the images noise", 650, 700, (0.1, 0.25)),
        ("rate x30", 300, 1000, (0.03, 0.2)),
    ],
)
def test_a_fault_is_heard_soon_after_it_began(losses, fault, began, ended, size):
    runs = healthy(losses, "seed0")
    rows, params = losses[fault, "L/4"]
    runs["L/4 seed0"] = ("seed0", rows, params)
    (found,) = looked(runs).left
    assert found.run_id == "L/4 seed0"
    assert began < found.step <= ended
    assert size[0] < found.by < size[1]


@pytest.mark.parametrize("model", ["S/4", "B/4", "L/4", "XL/4", "XL/8"])
def test_a_run_that_resumed_with_another_seed_is_heard(losses, model):
    """From step 650 on its losses are those of the same model trained with seed 1, whose batches nobody else saw."""
    runs = healthy(losses, "seed0")
    (rows, params), (other, _) = losses["seed0", model], losses["seed1", model]
    runs[f"{model} seed0"] = ("seed0", np.where(AT > 650, other, rows), params)
    found = looked(runs).left
    assert [one.run_id for one in found] == [f"{model} seed0"]
    assert 650 < found[0].step <= 900
