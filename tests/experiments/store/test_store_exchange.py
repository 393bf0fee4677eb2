"""Numbers leave as CSV and JSON lines unchanged, and runs made elsewhere come in with their provenance."""

import json
import sys

import pandas as pd
import pytest

from dit_grid.experiments.store import StoreError
from dit_grid.experiments.store.export import export
from dit_grid.experiments.store.importing import import_log
from dit_grid.experiments.store.provenance import NotComparableError, comparable

MAPPING = {
    "run": {"run_id": {"column": "name"}, "model": {"column": "model"}, "params": 130_000_000},
    "train": {"step": {"column": "_step"}, "loss": {"column": "train/loss"}},
    "evals": [
        {"metric": "fid", "step": {"column": "_step"}, "value": {"column": "fid50k"}, "samples": 50_000},
        {"metric": "fid", "step": {"column": "_step"}, "value": {"column": "fid10k"}, "samples": 10_000},
    ],
}
CSV = """name,model,_step,train/loss,fid50k,fid10k
other-b4,B/4,100,0.5,,
other-b4,B/4,4e2,0.25,43.5,45.25
other-s8,S/8,100,0.75,,
other-s8,S/8,300,,,160
"""


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(CSV)
    return path


def test_a_csv_log_becomes_runs_like_our_own(store, log):
    assert import_log(store, log, MAPPING) == ["other-b4", "other-s8"]
    assert store.runs()["model"].to_pylist() == ["B/4", "S/8"]
    train = [(row["run_id"], row["step"], row["loss"]) for row in store.train().to_pylist()]
    assert train == [("other-b4", 100, 0.5), ("other-b4", 400, 0.25), ("other-s8", 100, 0.75)]
    evals = {(row["run_id"], row["step"], row["samples"]): row["value"] for row in store.evals().to_pylist()}
    assert evals == {
        ("other-b4", 400, 50_000): 43.5,
        ("other-b4", 400, 10_000): 45.25,
        ("other-s8", 300, 10_000): 160.0,
    }
    assert {state.outcome for state in store.states().values()} == {"done"}
    with pytest.raises(NotComparableError, match="samples: 10000, 50000"):
        comparable(store.evals())


def test_importing_again_replaces_and_never_doubles(store, log):
    import_log(store, log, MAPPING)
    log.write_text(CSV.replace("100,0.75", "50,0.5") + "other-s8,S/8,500,0.125,,\n")
    import_log(store, log, MAPPING)
    assert store.train(["other-s8"])["step"].to_pylist() == [50, 500], "the row that the log lost is gone too"
    assert store.train(["other-s8"])["loss"].to_pylist() == [0.5, 0.125]
    assert store.runs().num_rows == 2


def test_json_lines_carry_the_same(store, tmp_path):
    rows = [{"name": "x", "model": "B/4", "_step": 7, "train/loss": 0.5, "fid50k": None, "fid10k": None}]
    rows.append({"name": "x", "_step": 8})
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    import_log(store, path, MAPPING)
    assert store.train()["step"].to_pylist() == [7]


@pytest.mark.parametrize(
    ("text", "mapping", "says"),
    [
        (CSV.replace("0.25", "low"), MAPPING, r"log.csv:3: column 'loss' takes a number, got 'low'"),
        (CSV.replace("4e2", "100.5"), MAPPING, r"log.csv:3: train row: column 'step' takes int64, got 100.5"),
        (CSV.replace("other-s8,S/8,300", "../x,S/8,300"), MAPPING, r"run id '../x'"),
        (CSV.replace("other-s8,S/8,300", ",S/8,300"), MAPPING, r"log.csv:5: runs row .*'run_id' is missing"),
        (CSV, {"run": {}}, "section 'run' needs 'run_id'"),
        (CSV, MAPPING | {"train": {"step": 1, "los": 2}}, "the table 'train' has no column 'los'"),
        (CSV, MAPPING | {"eval": []}, "no section 'eval'; allowed: run, train, evals"),
    ],
)
def test_a_bad_log_or_mapping_is_named_and_nothing_is_written(store, log, text, mapping, says):
    log.write_text(text)
    with pytest.raises(StoreError, match=says):
        import_log(store, log, mapping)
    assert store.runs().num_rows == store.train().num_rows == 0


def test_an_import_never_touches_a_run_of_our_own(store, log):
    store.add_run({"run_id": "other-b4", "spec": '{"seed": 0}'})
    with pytest.raises(StoreError, match=r"already in .* with another spec"):
        import_log(store, log, MAPPING)
    assert store.states() == {}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_export_reads_back_as_the_same_numbers(store, log, tmp_path, kind):
    import_log(store, log, MAPPING)
    with store.writer(store.begin_attempt("own", 0)) as writer:
        writer.train({"step": 1, "loss": 1 / 3, "mse": float("nan"), "vb": float("inf")})
    files = export(store, tmp_path / "out", kind)
    assert [file.name for file in files] == [f"{table}.{kind}" for table in ("runs", "train", "evals", "events")]
    train = pd.read_csv(files[1]) if kind == "csv" else pd.read_json(files[1], lines=True, precise_float=True)
    assert train["loss"].tolist() == store.train()["loss"].to_pylist()
    last = train[train["run_id"] == "own"].iloc[0]
    assert str(float(last["mse"])) == "nan"
    assert float(last["vb"]) == float("inf")
    with pytest.raises(StoreError, match="export as 'xlsx': choose one of csv, jsonl, tensorboard"):
        export(store, tmp_path / "out", "xlsx")


def curves(folder):
    """Tag -> [(step, value)] as TensorBoard's own reader sees them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_reads_an_interrupted_run_as_one_curve(store, tmp_path):
    for resume, steps in ((0, range(1, 10)), (5, range(6, 16))):
        attempt = store.begin_attempt("own", resume)
        with store.writer(attempt) as writer:
            for step in steps:
                writer.train({"step": step, "loss": step / 4 + 100 * attempt.number})
            writer.eval({"step": max(steps), "metric": "fid", "protocol": "1234abcd", "value": 2.5})
    for _ in range(2):  # the second export replaces the first
        files = export(store, tmp_path / "out", "tensorboard")
        assert [file.parent.name for file in files] == ["own"]
        found = curves(tmp_path / "out" / "own")
        expected = store.train(columns=["loss"]).to_pylist()
        assert found["train/loss"] == [(row["step"], row["loss"]) for row in expected]
        assert len(found["train/loss"]) == 15
        assert found["evals/fid/1234abcd"] == [(15, 2.5)]


def test_without_tensorboardx_the_fix_is_named(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(StoreError, match=r"pip install 'dit-grid\[tensorboard\]'"):
        export(store, tmp_path / "out", "tensorboard")
