"""Columns from buffers are those of `pa.array`, to the bytes of the file, and need no pandas."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from dit_grid.experiments.store.checked_rows import checked_row, table_of
from dit_grid.experiments.store.columns import column, numbers, of_numbers, repeated
from dit_grid.experiments.store.encoding import encode
from dit_grid.experiments.store.records import TRAIN


@pytest.mark.parametrize(("values", "kind"), [
    ([], pa.string()), ([None] * 9, pa.float64()), ([1, None, -(2**63), 2**63 - 1] * 5, pa.int64()),
    ([7] * 17, pa.int64()),
    ([0.5, None, float("nan"), float("inf"), -0.0] * 3, pa.float64()), ([1e300], pa.float64()),
    (["é", None, "", "日本語", "a" * 100], pa.string()), (["one", "two"], pa.string()), ([None, ""], pa.string()),
])  # fmt: skip
def test_a_column_is_that_of_arrow(values, kind):
    found, wanted = column(values, kind), pa.array(values, type=kind)
    found.validate(full=True)
    assert found.type == wanted.type
    assert found.null_count == wanted.null_count
    assert str(found.to_pylist()) == str(wanted.to_pylist())  # in which NaN is itself, and -0.0 not 0.0


@pytest.mark.parametrize(("values", "counts", "kind", "wanted"), [
    (["a", "bc", "a"], [2, 0, 1], pa.string(), ["a", "a", "a"]), ([7, 7], [1, 2], pa.int64(), [7, 7, 7]),
    ([1, 2], [1, 3], pa.int64(), [1, 2, 2, 2]), (["é", "x"], [1, 1], pa.string(), ["é", "x"]),
])  # fmt: skip
def test_each_value_so_many_times(values, counts, kind, wanted):
    assert repeated(values, counts, kind).equals(pa.array(wanted, type=kind))


@pytest.mark.parametrize(
    "values", [np.arange(9)[::-2], np.arange(11) % 3 == 0, np.array([0.5, np.nan]), np.zeros(0, bool)]
)
def test_numbers_of_numpy_are_those_of_arrow(values):
    found = of_numbers(values)
    found.validate(full=True)
    assert str(found) == str(pa.array(values))


@pytest.mark.parametrize("values", [
    [[1, 2, 3], [4]], [[1.5, None, float("nan")], [None, None]], [[], []], [], [[None] * 9 + [1]], [[1, None], [2, 3]],
], ids=str)  # fmt: skip
@pytest.mark.parametrize("kind", [pa.int64(), pa.float64()], ids=str)
def test_numbers_of_a_column_are_those_of_arrow(values, kind):
    if kind == pa.int64():
        values = [[None if value is None or value != value else int(value) for value in part] for part in values]
    whole = pa.chunked_array([pa.array(part, type=kind) for part in values], type=kind)
    for part in (whole, whole[1:], whole[1:2]):
        np.testing.assert_array_equal(numbers(part), part.to_numpy())


def test_a_file_is_the_same_to_the_byte():
    rows = [
        checked_row(TRAIN, {"run_id": "é-1", "attempt": 1, "step": step, "loss": None if step % 3 else 1 / step})
        for step in range(1, 30)
    ]
    columns = [pa.array([row.get(field.name) for row in rows], type=field.type) for field in TRAIN.schema]
    assert encode(table_of(TRAIN, rows)) == encode(pa.Table.from_arrays(columns, schema=TRAIN.schema))


def test_an_integer_beyond_64_bits_is_refused():
    with pytest.raises(OverflowError):
        column([1, 2**63], pa.int64())


def test_writing_and_reading_a_run_loads_no_pandas(tmp_path):
    program = (
        "import sys; from dit_grid.experiments.store import Store; store = Store.create(sys.argv[1]); "
        "store.add_run({'run_id': 'r', 'spec': '{}'}); writer = store.writer(store.begin_attempt('r', 0)); "
        "writer.train({'step': 1, 'loss': 1.0}); writer.flush(); "
        "store.runs(), store.states(), store.journal('j'); writer.train({'step': 2, 'loss': 2.0}); writer.flush(); "
        "again = store.writer(store.begin_attempt('r', 1)); again.train({'step': 2, 'loss': 3.0}); "
        "again.train({'step': 2, 'loss': 4.0}); again.flush(); "
        "assert store.train()['loss'].to_pylist() == [1.0, 4.0]; "  # a rewind and a key that was written twice
        "print('pandas' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "store")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
