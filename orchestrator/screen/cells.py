"""Cells of a table as plain text: how wide their columns are, and their lines, where there is room for all of them.

Rich draws the same in a millisecond a row, three times over to know its width; ten thousand rows would take a minute.
Which columns are shown, and what becomes of a table without room, is `rows`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text

Cells = Mapping[str, Sequence[str]]
"""Key of a column -> its texts, a row each; a column is a heading and a key."""

GAP = "  "


def short(value: Any) -> str:
    """Return a value as a cell: nothing for None, numbers with four digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def cells_of(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Cells:
    """Return the texts of the columns."""
    return {key: [short(row[key]) for row in rows] for key in columns.values()}


def table_width(columns: Mapping[str, str], cells: Cells) -> int:
    """Return the columns of the terminal that the table would like to have."""
    return sum(_widths(columns, cells)) + len(GAP) * max(len(columns) - 1, 0)


def of_one_line(columns: Mapping[str, str], cells: Cells) -> bool:
    """Return whether every cell is one line of what can be printed, which `drawn` takes for granted."""
    return all(text.isprintable() for heading, key in columns.items() for text in (heading, *cells[key]))


def drawn(columns: Mapping[str, str], cells: Cells, numeric: Collection[str]) -> Iterator[Text]:
    """Yield the heading and the rows; columns whose key is `numeric` are set right."""
    places = [(key in numeric, width) for key, width in zip(columns.values(), _widths(columns, cells), strict=True)]
    yield Text(_line(list(columns), places), style="bold", no_wrap=True)
    rows = zip(*(cells[key] for key in columns.values()), strict=True)
    if lines := [_line(row, places) for row in rows]:
        yield Text("\n".join(lines), no_wrap=True)


def _line(texts: Sequence[str], places: Sequence[tuple[bool, int]]) -> str:
    return GAP.join(_padded(text, width, right) for text, (right, width) in zip(texts, places, strict=True))


def _padded(text: str, width: int, right: bool) -> str:
    spaces = " " * (width - cell_len(text))
    return spaces + text if right else text + spaces


def _widths(columns: Mapping[str, str], cells: Cells) -> list[int]:
    return [max(map(_cell_width, {heading, *cells[key]})) for heading, key in columns.items()]


def _cell_width(text: str) -> int:
    return max(map(cell_len, text.splitlines()), default=0)
