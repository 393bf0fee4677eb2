"""A table as cells of text, each with the number that it sorts by, and its markup.

What is here formats numbers and escapes text; what is in a table is `tables`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

LONG = 24
"""Letters from which on a text may break into lines."""

Cell = tuple[str, float | None]


@dataclass(frozen=True)
class Cells:
    """A table: what it is, column titles, which are numbers, and rows of (text, number to sort by)."""

    label: str
    titles: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: list[list[Cell]]


def cells_of(label: str, frame: pd.DataFrame) -> Cells:
    """The cells of a frame; NaN is empty."""
    numeric = tuple(bool(pd.api.types.is_numeric_dtype(frame[name])) for name in frame.columns)
    columns = [_column(frame[name].tolist(), number) for name, number in zip(frame.columns, numeric, strict=True)]
    return Cells(label, tuple(map(str, frame.columns)), numeric, [list(row) for row in zip(*columns, strict=True)])


def _column(values: Sequence[Any], numeric: bool) -> list[Cell]:
    return [_number(value) if numeric else ("" if pd.isna(value) else str(value), None) for value in values]


def _number(value: Any) -> Cell:
    if value is None or pd.isna(value):
        return "", None
    value = float(value)
    if not np.isfinite(value):
        return "∞", value
    if value.is_integer():
        return f"{value:,.0f}", value
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}", value


def table_html(table: Cells, name: str) -> str:
    """A sortable table in a box that scrolls; `data-v` holds what a cell sorts by, where that is not its text."""
    heads = "".join(_head(title, number) for title, number in zip(table.titles, table.numeric, strict=True))
    rows = "".join(_row(row, table) for row in table.rows)
    return (
        f'<div class=scroll tabindex=0 role=region aria-label="{escape(table.label)}">'
        f'<table id="{name}" class="sortable listed"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _head(title: str, number: bool) -> str:
    kind = " class=num" if number else ""
    return f"<th scope=col aria-sort=none{kind}><button type=button>{escape(title)}</button></th>"


def _row(row: Sequence[Cell], table: Cells) -> str:
    parts = zip(row, table.titles, table.numeric, strict=True)
    return f"<tr>{''.join(_cell(cell, title, number) for cell, title, number in parts)}</tr>"


def _cell(cell: Cell, title: str, number: bool) -> str:
    """A narrow window shows a row as lines of `data-t` and text."""
    text, value = cell
    kind = " class=num" if number else " class=long" if len(text) > LONG else ""
    key = f' data-v="{value!r}"' if value is not None else ""
    return f'<td{kind} data-t="{escape(title)}"{key}>{escape(text)}</td>'
