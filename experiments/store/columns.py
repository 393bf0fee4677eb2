"""Columns of Arrow made from buffers: `pa.array` and `pa.scalar` import pandas, which takes a second of a processor.

A trainer and a driver write rows and need no pandas for them. What columns there are is `records`.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

_NUMBERS = {pa.int64(): np.int64, pa.float64(): np.float64}

_MOST_BYTES = 2**31 - 1
"""Of the texts in one column: Arrow's strings count them in 32 bits."""


def column(values: Sequence[str | int | float | None], kind: pa.DataType) -> pa.Array:
    """Return plain Python values of `kind` (string, int64 or float64) as `pa.array` would, None as null.

    Raises OverflowError for integers that have no 64 bits and texts of 2 GiB together.
    """
    nulls = list(values).count(None)
    if nulls == len(values):
        return pa.nulls(len(values), kind)
    known = pa.py_buffer(np.packbits([value is not None for value in values], bitorder="little")) if nulls else None
    if kind == pa.string():
        return pa.Array.from_buffers(kind, len(values), [known, *_texts(values)], nulls)
    held = [0 if value is None else value for value in values] if nulls else values
    return pa.Array.from_buffers(kind, len(values), [known, pa.py_buffer(np.array(held, _NUMBERS[kind]))], nulls)


def constant(value: str | int | None, kind: pa.DataType, rows: int) -> pa.Array:
    """Return a column of one value."""
    if value is None:
        return pa.nulls(rows, kind)
    if isinstance(value, str):
        text = value.encode()
        offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(len(text))
        return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(offsets), pa.py_buffer(text * rows)])
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(np.full(rows, value, dtype=np.int64))])


def no_rows(schema: pa.Schema) -> pa.Table:
    """Return a table without rows; the schema's own `empty_table` imports pandas too."""
    return pa.Table.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def _texts(values: Sequence[str | int | float | None]) -> tuple[pa.Buffer, pa.Buffer]:
    """Return where each text ends and all of them in a row, as UTF-8."""
    texts = [value.encode() if isinstance(value, str) else b"" for value in values]
    ends = np.cumsum([0, *map(len, texts)])
    if ends[-1] > _MOST_BYTES:
        raise OverflowError(f"{ends[-1]:,} bytes of text in one column, at most {_MOST_BYTES:,} fit")
    return pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(texts))
