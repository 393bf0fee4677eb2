"""Evaluation rows stand in one comparison only if everything that can change the value agrees."""

import pytest

from dit_grid.experiments.store import Store, StoreError
from dit_grid.experiments.store.importing import import_log
from dit_grid.experiments.store.provenance import SETTINGS, NotComparableError, comparable, differences, protocol

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


SAMPLED = {
    "samples": 70, "weights": "ema", "seed": 0, "sampler": "ddim", "sampler_steps": 4, "guidance": 1.0,
    "guidance_channels": None, "decoder": "", "reference": "digits", "reference_sha256": "a", "features": "conv",
    "features_sha256": "b", "code_sha256": "z",
}  # fmt: skip
HELDOUT = {
    "samples": 50, "weights": "raw", "seed": 0, "sampler": "", "reference": "digits-heldout", "reference_sha256": "a",
    "features": "8 timesteps an image", "code_sha256": "z",
}  # fmt: skip


def test_a_protocol_keeps_its_name_for_ever():
    """Computed by the first version of the program; another name would tear every existing curve in two."""
    assert (protocol(SAMPLED), protocol(HELDOUT)) == ("b74e2e4a", "0d306a32")


def test_the_same_settings_have_one_protocol_however_they_are_written():
    other = {"guidance": 1, "code_sha256": "y", "metric": "fid", "seconds": 3.0}
    assert protocol({**SAMPLED, **other}) == protocol(SAMPLED)
    assert protocol({name: value for name, value in SAMPLED.items() if value is not None}) == protocol(SAMPLED)
    assert protocol(dict(reversed(SAMPLED.items())) | {"labels": None}) == protocol(SAMPLED)
    for name in SAMPLED.keys() - {"code_sha256"}:
        assert protocol({**SAMPLED, name: 7 if name != "guidance" else 1.5}) != protocol(SAMPLED), name


def test_an_imported_evaluation_stands_in_one_comparison_with_one_of_our_own(store, tmp_path):
    store.add_run({"run_id": "own", "spec": "{}"})
    with store.writer(store.begin_attempt("own", 0)) as writer:
        row = {"step": 100, "metric": "fd_conv", "value": 4.0, "protocol": protocol(SAMPLED), **SAMPLED}
        writer.eval(row)
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 100, "fd": 3.5}\n')
    said = {name: value for name, value in SAMPLED.items() if value is not None} | {"metric": "fd_conv", "guidance": 1}
    mapping = {"run": {"run_id": "other"}, "evals": [{"step": {"column": "step"}, "value": {"column": "fd"}, **said}]}
    import_log(store, log, mapping)
    evals = store.evals().to_pylist()
    assert {row["run_id"]: row["value"] for row in evals} == {"own": 4.0, "other": 3.5}
    assert len({row["protocol"] for row in evals}) == 1
    comparable(evals)
