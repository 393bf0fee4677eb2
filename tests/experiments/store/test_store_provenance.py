"""Evaluation rows stand in one comparison only if everything that can change the value agrees."""

import pytest

from dit_grid.experiments.store import Store, StoreError
from dit_grid.experiments.store.provenance import SETTINGS, NotComparableError, comparable, differences

FID = {
    "metric": "fid",
    "samples": 50_000,
    "sampler": "ddpm",
    "sampler_steps": 250,
    "guidance": 1.5,
    "guidance_channels": 3,
    "weights": "ema",
    "seed": 0,
    "reference_sha256": "aa",
    "features_sha256": "bb",
    "code_sha256": "cc",
}


def written(store: Store, *rows: dict):
    for number, row in enumerate(rows):
        with store.writer(store.begin_attempt(f"run-{number}", 0)) as writer:
            writer.eval({"step": 10 * number, "protocol": str(number), "value": 9.0 - number, "seconds": number, **row})
    return store.evals()


def test_rows_that_differ_only_in_run_step_and_value_are_comparable(store):
    comparable(written(store, FID, FID))
    comparable([])


@pytest.mark.parametrize(
    ("setting", "other", "says"),
    [
        ("samples", 10_000, "samples: 10000, 50000"),
        ("guidance_channels", None, "guidance_channels: 3, None"),
        ("weights", "raw", "weights: 'ema', 'raw'"),
        ("features_sha256", "dd", "features_sha256: 'bb', 'dd'"),
        ("metric", "accuracy", "metric: 'accuracy', 'fid'"),
    ],
)
def test_what_differs_is_named_and_may_be_allowed(store, setting, other, says):
    evals = written(store, FID, FID | {setting: other})
    with pytest.raises(NotComparableError, match=says) as error:
        comparable(evals)
    assert f"allow=['{setting}']" in str(error.value)
    comparable(evals, allow=[setting])


def test_every_difference_is_named_at_once():
    rows = [FID, FID | {"samples": 1_000, "seed": 3}, FID | {"sampler": "ddim"}]
    assert set(differences(rows)) == {"samples", "seed", "sampler"}


def test_a_setting_that_does_not_exist_cannot_be_allowed():
    with pytest.raises(StoreError, match="no evaluation setting 'sample'"):
        comparable([FID], allow=["sample"])
    assert {"samples", "sampler", "guidance", "weights", "decoder", "reference_sha256"} <= set(SETTINGS)
