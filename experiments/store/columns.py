"""Columns of Arrow from buffers and back: `pa.array`, `pa.scalar` and `to_numpy` import pandas, which takes a second.

A trainer and a driver write rows, and read them, and need no pandas for that. What columns there are is `records`.
"""

from collections.abc import Iterable, Sequence

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


def repeated(values: Sequence[str | int], counts: Sequence[int], kind: pa.DataType) -> pa.Array:
    """Return a column of each value so many times."""
    if len(set(values)) == 1:
        return constant(values[0], kind, sum(counts))
    return column([value for value, count in zip(values, counts, strict=True) for _ in range(count)], kind)


def of_numbers(values: np.ndarray) -> pa.Array:
    """Return a column of a NumPy array of 64-bit numbers, whose memory it shares, or of truth values."""
    if values.dtype == bool:
        bits = pa.py_buffer(np.packbits(values, bitorder="little"))
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits])
    kinds = {np.dtype(held): kind for kind, held in _NUMBERS.items()}
    return pa.Array.from_buffers(kinds[values.dtype], len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def numbers(values: pa.ChunkedArray) -> np.ndarray:
    """Return a column of 64-bit numbers as `to_numpy` would: shared where it can be, with nulls as reals with NaN."""
    parts = [_numbers(chunk) for chunk in values.chunks]
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, _NUMBERS[values.type]), *parts])


def _numbers(chunk: pa.Array) -> np.ndarray:
    known, held = chunk.buffers()
    kind, here = _NUMBERS[chunk.type], slice(chunk.offset, chunk.offset + len(chunk))
    if held is None or not len(chunk):
        return np.full(len(chunk), np.nan) if len(chunk) else np.zeros(0, kind)
    found = np.frombuffer(held, kind, here.stop)[here]
    if not chunk.null_count:
        return found
    return np.where(np.unpackbits(np.frombuffer(known, np.uint8), bitorder="little")[here], found, np.nan)


def no_rows(schema: pa.Schema) -> pa.Table:
    """Return a table without rows; the schema's own `empty_table` imports pandas too."""
    return pa.Table.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def in_one(schema: pa.Schema, parts: Iterable[pa.Table]) -> pa.Table:
    """Return the rows of tables of one schema, each column in one piece.

    Whoever works with a column pays for each of its pieces, of which thousands of runs have thousands: pandas some
    microseconds an operation.
    """
    return pa.concat_tables([no_rows(schema), *parts]).combine_chunks()


def _texts(values: Sequence[str | int | float | None]) -> tuple[pa.Buffer, pa.Buffer]:
    """Return where each text ends and all of them in a row, as UTF-8."""
    texts = [value.encode() if isinstance(value, str) else b"" for value in values]
    ends = np.cumsum([0, *map(len, texts)])
    if ends[-1] > _MOST_BYTES:
        raise OverflowError(f"{ends[-1]:,} bytes of text in one column, at most {_MOST_BYTES:,} fit")
    return pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(texts))
