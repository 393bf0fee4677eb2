"""Rows given by their columns come to the same table, or the same refusal, as rows given one by one."""

import numpy as np
import pytest

from dit_grid.experiments.store.checked_rows import checked_row, table_of, table_of_columns
from dit_grid.experiments.store.errors import StoreError
from dit_grid.experiments.store.records import TRAIN

STAMP = {"run_id": "r", "attempt": 1, "wall_unix_s": 7.5}

COLUMNS = [
    {"step": [1, 2, 3], "loss": [0.5, 0.25, 0.125]},
    {"step": [1, 2, 3], "loss": [0.5, float("nan"), float("inf")], "mse": [1, 2.5, None]},
    {"step": [1, np.int64(2), 3], "loss": [np.float32(0.5), 2, 3.0]},
    {"loss": [0.5], "step": [2**63 - 1]},
]

WRONG = [
    {"step": [1, 2], "loss": [0.5, "low"]},
    {"step": [1, 2], "loss": [0.5, True]},
    {"step": [1, 2.5], "loss": [0.5, 0.5]},
    {"step": [1, 2**63], "loss": [0.5, 0.5]},
    {"step": [1, None], "loss": [0.5, 0.5]},
    {"step": [1, 2], "los": [0.5, 0.5]},
    {"loss": [0.5, 0.5]},
]


def one_by_one(columns):
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return table_of(TRAIN, [checked_row(TRAIN, row | STAMP) for row in rows])


@pytest.mark.parametrize("columns", COLUMNS)
def test_columns_make_the_table_that_their_rows_make(columns):
    many, single = table_of_columns(TRAIN, columns, STAMP), one_by_one(columns)
    assert many.schema.equals(single.schema, check_metadata=True)
    assert str(many.to_pylist()) == str(single.to_pylist())  # as text a NaN is equal to itself
    assert [column.null_count for column in many.columns] == [column.null_count for column in single.columns]


@pytest.mark.parametrize("columns", WRONG)
def test_what_a_row_may_not_hold_its_column_may_not(columns):
    with pytest.raises(StoreError) as single:
        one_by_one(columns)
    with pytest.raises(StoreError) as many:
        table_of_columns(TRAIN, columns, STAMP)
    assert str(many.value) == str(single.value)


def test_columns_of_different_length_are_refused():
    with pytest.raises(StoreError, match=r"columns differ in length: {'step': 2, 'loss': 1}"):
        table_of_columns(TRAIN, {"step": [1, 2], "loss": [0.5]}, STAMP)
