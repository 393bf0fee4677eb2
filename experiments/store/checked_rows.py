"""Rows as a writer is given them, checked against the tables of `records` and made into Arrow tables.

A row, or many at once, a list a column. What becomes of them as bytes is `encoding`.
"""

import difflib
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from dit_grid.experiments.store.columns import column
from dit_grid.experiments.store.errors import StoreError
from dit_grid.experiments.store.records import TABLES, Table


def checked_row(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with plain Python values, fit for `table_of`: numbers of numpy or jax become int or float.

    Raises StoreError that names the column and the value for an unknown column, a missing key or a wrong type.
    """
    kinds = _kinds(table.name)
    checked = {}
    for name, value in row.items():
        kind = kinds.get(name)
        if kind is None:
            raise StoreError(_unknown_column(table, name))
        plain = type(value) is kind and (
            kind is float
            or (isinstance(value, str) and value.isascii())
            or (isinstance(value, int) and abs(value) < 2**62)
        )
        checked[name] = value if plain or value is None else _converted(table, name, value)
    for name in table.key:
        if checked.get(name) is None:
            raise StoreError(f"{table.name} row {checked}: {name!r} is missing, it is part of the key")
    return checked


@functools.cache
def _kinds(table: str) -> dict[str, type]:
    """The Python type that each column takes."""
    kinds = {pa.float64(): float, pa.int64(): int, pa.string(): str}
    return {field.name: kinds[field.type] for field in TABLES[table].schema}


def _unknown_column(table: Table, name: str) -> str:
    close = difflib.get_close_matches(str(name), table.schema.names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(table.schema.names)}"
    return f"{table.name} row: no column {name!r}; {hint}"


def _converted(table: Table, name: str, value: Any) -> Any:
    """The value as its column's type; nothing is rounded, cut or parsed on the way."""
    kind = _kinds(table.name)[name]
    plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value
    if isinstance(plain, int) and not isinstance(plain, bool) and kind is float and abs(plain) < 2**1000:
        return float(plain)
    fits = isinstance(plain, kind) and not isinstance(plain, bool)
    if fits and kind is int:
        fits = -(2**63) <= plain < 2**63
    if fits and kind is str:
        fits = plain.isascii() or plain == plain.encode(errors="ignore").decode()
    if not fits:
        raise StoreError(
            f"{table.name} row: column {name!r} takes {table.schema.field(name).type}, "
            f"got {repr(value)[:200]} ({type(value).__name__})"
        )
    return plain


def table_of(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Checked rows as an Arrow table with the schema of `table`; columns that a row leaves out are null."""
    used = set().union(*rows)
    return _with_nulls(table, {name: [row.get(name) for row in rows] for name in used}, len(rows))


def table_of_columns(table: Table, columns: Mapping[str, Sequence[Any]], constants: Mapping[str, Any]) -> pa.Table:
    """As `table_of` of rows given by their columns, beside `constants` that are the same in each.

    Raises StoreError for columns that differ in length, and for what `checked_row` refuses.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise StoreError(f"{table.name} rows: columns differ in length: {lengths}")
    if not all(_is_plain(_kinds(table.name).get(name), values) for name, values in columns.items()):
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return table_of(table, [checked_row(table, {**row, **constants}) for row in rows])
    # All are plain, so what the names have wrong is wrong in the first row as in each.
    first = checked_row(table, {name: values[0] for name, values in columns.items()} | dict(constants))
    count = min(lengths.values())
    return _with_nulls(table, {**columns, **{name: [first[name]] * count for name in constants}}, count)


def _is_plain(kind: type | None, values: Sequence[Any]) -> bool:
    """Whether a column's values can be taken as they are, told at once."""
    found = set(map(type, values))
    return (found == {float} == {kind}) or (found == {int} == {kind} and -(2**62) < min(values) <= max(values) < 2**62)


def _with_nulls(table: Table, columns: Mapping[str, Sequence[Any]], count: int) -> pa.Table:
    """An Arrow table with the schema of `table`; of a training most columns stay empty, which is cheap to say."""
    arrays = [
        column(columns[field.name], field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in table.schema
    ]
    return pa.Table.from_arrays(arrays, schema=table.schema)
