"""A store written by version 1 opens with every later version, and a later one's is refused in one clear line.

`tests/golden/store_v1` was written once by version 1 and is never written again; the numbers expected of it are stated
here: loss 1 / step, plus 0.5 in the attempt that resumed at step 20; a zombie's 9.0 must not appear.
"""

import dataclasses
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from dit_grid.experiments.store import NewerVersionError, Store, StoreError, encoding, records
from dit_grid.experiments.store.check import check

GOLDEN = Path(__file__).parents[2] / "golden" / "store_v1"


@pytest.fixture
def old() -> Store:
    return Store.open(str(GOLDEN))


def test_a_store_of_version_1_reads_as_it_was_written(old):
    train = old.train().to_pandas().set_index(["run_id", "step"])
    assert list(train.loc["s-8-aaaaaa", "loss"]) == [1 / 10, 1 / 20, 1 / 30, 1 / 40]
    assert list(train.loc["b-4-bbbbbb", "loss"]) == [1 / 10, 1 / 20, 1 / 30 + 0.5, 1 / 40 + 0.5]
    assert old.evals(["b-4-bbbbbb"])["value"].to_pylist() == [5.0, 3.0]
    assert old.runs()["forward_macs"].to_pylist() == [2 * 10**9, 10**9]
    assert old.events()["detail"].to_pylist() == ['{"slice": "v3-8"}']
    assert {run: (state.attempt, state.outcome) for run, state in old.states().items()} == {
        "s-8-aaaaaa": (1, "done"),
        "b-4-bbbbbb": (2, None),
    }
    assert old.attempts("b-4-bbbbbb")[1].start["host"] == "h2"
    assert check(old) == []


def test_a_store_of_version_2_reads_as_it_was_written():
    second = Store.open(str(GOLDEN.with_name("store_v2")))
    train = second.train().to_pylist()
    assert [(row["step"], row["attempt"]) for row in train] == [(10, 1), (20, 1), (30, 2), (40, 2)]
    assert [row["loss"] for row in train] == [1 / 10, 1 / 20, 1 / 30 + 0.5, 1 / 40 + 0.5]
    assert [row["loss_t1"] for row in train] == [4.0, 4.0, 1.0, 1.0]
    (row,) = second.evals().to_pylist()
    assert (row["value"], row["protocol"], row["labels"], row["sampling_s"]) == (3.0, "b74e2e4a", None, None)
    assert second.states()["s-8-aaaaaa"].outcome == "done"
    assert check(second) == []


def test_a_column_that_came_later_is_null_in_old_rows(old, monkeypatch):
    next_version = records.SCHEMA_VERSION + 1
    tokens_per_s = records.Column("tokens_per_s", pa.float64(), "tokens a second", "1/s", since=next_version)
    columns = (*records.TRAIN.columns, tokens_per_s)
    later = dataclasses.replace(records.TRAIN, columns=columns)
    monkeypatch.setattr("dit_grid.experiments.store.store.TRAIN", later)
    monkeypatch.setattr(encoding, "SCHEMA_VERSION", next_version)
    rows = old.train()
    assert rows.schema.names[-1] == "tokens_per_s"
    assert rows["tokens_per_s"].null_count == rows.num_rows == 8
    assert rows["loss_t1"].null_count == 8, "came with version 2"


def test_a_file_of_a_later_version_is_refused(store):
    with store.writer(store.begin_attempt("b-4-aaaaaa", 0)) as writer:
        writer.train({"step": 1, "loss": 1.0})
    path = f"{store.paths.root}/train/b-4-aaaaaa/a000001-n00000000.parquet"
    table = pq.read_table(path)
    later = {**table.schema.metadata, b"dit_grid.schema_version": str(records.SCHEMA_VERSION + 1)}
    pq.write_table(table.replace_schema_metadata(later), path)
    with pytest.raises(NewerVersionError, match=r"a000001-n00000000.parquet: schema version \d+, .*; upgrade"):
        store.train()


def test_only_the_columns_asked_for_are_read(old):
    rows = old.evals(columns=["value"])
    assert rows.schema.names == ["run_id", "attempt", "step", "metric", "value", "protocol"]
    assert rows.equals(old.evals().select(rows.schema.names))
    assert old.runs(columns=["model"]).to_pydict() == {"run_id": ["b-4-bbbbbb", "s-8-aaaaaa"], "model": ["B/4", "S/8"]}
    assert old.latest_train(columns=["loss"])["loss"].to_pylist() == [1 / 40 + 0.5, 1 / 40]
    with pytest.raises(StoreError, match="evals: no column 'loss'; allowed: run_id"):
        old.evals(columns=["loss"])


def test_files_carry_units_and_descriptions_and_open_with_plain_pandas():
    schema = pq.read_schema(GOLDEN / "train" / "s-8-aaaaaa" / "a000001-n00000000.parquet")
    assert schema.field("data_wait_s").metadata[b"unit"] == b"s"
    assert b"optimizer updates completed" in schema.field("step").metadata[b"description"]
    assert len(pd.read_parquet(GOLDEN / "evals")) == pyarrow.dataset.dataset(GOLDEN / "evals").count_rows() == 5
    assert set(pd.read_parquet(GOLDEN / "runs")["model"]) == {"S/8", "B/4"}
