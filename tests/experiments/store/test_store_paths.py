"""Every name the store builds is parsed back to the same thing, and no other name is taken for one of its own."""

import re

import hypothesis.strategies as st
import pytest
from hypothesis import given

from dit_grid.experiments.store import StoreError, StorePaths
from dit_grid.experiments.store.paths import (
    AttemptFile,
    Compacted,
    Segment,
    parse_attempt,
    parse_checkpoint,
    parse_rows,
    parse_run,
)

IDS = st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", re.ASCII), fullmatch=True) | st.sampled_from(
    ["a.a000001.start", "x-n00000001", "x-c000001.parquet", "a..b", "A" * 128]
)
TABLES = st.sampled_from(["train", "evals"])
NUMBERS = st.integers(0, 999_999)


@given(IDS, TABLES, NUMBERS, st.integers(0, 99_999_999), NUMBERS)
def test_names_are_parsed_back(owner, table, attempt, sequence, generation):
    for part in (
        Segment(table, owner, attempt, sequence),
        Compacted(table, owner, generation),
        Segment("events", owner, 0, sequence),
        Compacted("events", owner, generation),
    ):
        assert parse_rows(StorePaths.rows(part)) == part
    assert parse_run(StorePaths.run(owner)) == owner
    assert parse_attempt(StorePaths.attempt(owner, attempt, "done")) == AttemptFile(owner, attempt, "done")
    assert parse_checkpoint(StorePaths.checkpoint(owner, attempt, sequence)) == (owner, attempt, sequence)


@given(st.text(max_size=60))
def test_any_other_text_is_foreign_to_every_parser(text):
    for folder in ("", "runs/", "train/x/", "events/", "attempts/", "checkpoints/"):
        name = folder + text
        if part := parse_rows(name):
            assert StorePaths.rows(part) == name
        if run := parse_run(name):
            assert StorePaths.run(run) == name
        if record := parse_attempt(name):
            assert StorePaths.attempt(record.run_id, record.attempt, record.what) == name


def test_numbers_that_would_not_sort_by_name_are_refused():
    with pytest.raises(StoreError, match="segment 100000000: must be from 0 to 99999999"):
        StorePaths.rows(Segment("train", "x", 1, 10**8))
    with pytest.raises(StoreError, match="attempt -1"):
        StorePaths.checkpoint("x", -1, 0)


def test_full_names_in_a_folder_and_in_a_bucket():
    assert StorePaths("/data/store/").full(StorePaths.log("x", 3)) == "/data/store/logs/x/a000003.log"
    assert StorePaths("gs://bucket/a").full(StorePaths.samples("x")) == "gs://bucket/a/samples/x"
