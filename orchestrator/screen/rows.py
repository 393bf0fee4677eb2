"""Rows as a table that fits where it is shown: what is the same in all stands above, what has no room is named below.

No cell is ever cut. Which rows and columns there are is the callers' (`tables`, the commands).
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dit_grid.orchestrator.screen.cells import Cells, cells_of, drawn, of_one_line, short, table_width

ANY_WIDTH = 100_000
"""A pipe has no width."""


class Laid(NamedTuple):
    """Which columns are shown: `columns` maps a heading to a key, `same` a heading to what all rows have there."""

    columns: dict[str, str]
    same: dict[str, str]
    left_out: list[str]


def screen() -> Console:
    """Standard output as wide as it is: a terminal as it says, or as COLUMNS says, a pipe without an end."""
    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if narrow else ANY_WIDTH)


def print_rows(
    columns: dict[str, str], rows: Sequence[dict[str, Any]], caption: str = "", spare: Sequence[str] = ()
) -> None:
    """Print rows as a table; see `view`."""
    console = screen()
    console.print(view(columns, rows, console, caption, spare), highlight=False)


def view(
    columns: dict[str, str], rows: Sequence[dict[str, Any]], console: Console, caption: str = "",
    spare: Sequence[str] = (),
) -> Group:  # fmt: skip
    """Return rows as they are shown in the width of the console.

    Where it is too narrow, headings in dots lose all but their last word, then the `spare` ones go, the first first,
    then others from the right; the first stays.
    """
    laid, cells = fitted(columns, rows, console, spare), cells_of(columns, rows)
    lines: list[Any] = [Text(_said("all", laid.same), style="dim")] if laid.same else []
    fold = table_width(laid.columns, cells) > console.width
    if fold or not of_one_line(laid.columns, cells):
        lines.append(rows_table(laid.columns, rows, fold))
    else:
        lines += drawn(laid.columns, cells, [key for key in laid.columns.values() if _is_numeric(key, rows)])
    lines += [Text(caption)] if caption else []
    lines += [Text(f"not shown, for want of width: {', '.join(laid.left_out)}")] if laid.left_out else []
    return Group(*lines)


def fitted(
    columns: dict[str, str], rows: Sequence[dict[str, Any]], console: Console, spare: Sequence[str] = ()
) -> Laid:
    """Return the columns that fit, those that are the same in all rows, and those that have no room."""
    cells = cells_of(columns, rows)
    same = _same(columns, cells)
    kept = {heading: key for heading, key in columns.items() if heading not in same}
    if table_width(kept, cells) > console.width:
        kept = shortened(kept)
    going, left_out = _going(kept, spare), list[str]()
    while table_width(kept, cells) > console.width and (heading := next(going, None)) is not None:
        left_out.append(heading)
        del kept[heading]
    return Laid(kept, {heading: text for heading, text in same.items() if text}, left_out)


def rows_table(columns: Mapping[str, str], rows: Sequence[dict[str, Any]], fold: bool = False) -> Table:
    """Return rows as a table. `columns` maps a heading to a key; numbers are set right and written short.

    With `fold` cells that are too wide go on below themselves.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, key in columns.items():
        side: Literal["right", "left"] = "right" if _is_numeric(key, rows) else "left"
        table.add_column(escape(heading), justify=side, no_wrap=not fold, overflow="fold")
    for row in rows:
        table.add_row(*(Text(short(row[key])) for key in columns.values()))  # brackets are no markup
    return table


def _is_numeric(key: str, rows: Sequence[dict[str, Any]]) -> bool:
    return any(isinstance(row[key], int | float) for row in rows)


def shortened(columns: dict[str, str]) -> dict[str, str]:
    """Return the columns with headings such as train.optimizer.learning_rate as learning_rate, where one has that."""
    last = [_last_name(heading) for heading in columns]
    return {
        short if last.count(short) == 1 else heading: key
        for short, (heading, key) in zip(last, columns.items(), strict=True)
    }


def _last_name(heading: str) -> str:
    """The last of names in dots; a heading of several words (`est. ms`) is none."""
    return heading if " " in heading else heading.rpartition(".")[2]


def span(seconds: float) -> str:
    """Return a duration in two of its units, e.g. 17 s, 12 min, 3 h 20 min, 2 d 4 h."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def time_unit(hours: Sequence[float | None]) -> tuple[str, float]:
    """Return the unit in which the longest of the times reads well, and how many of it an hour has."""
    longest = max((value for value in hours if value is not None), default=1.0)
    return ("hours", 1.0) if longest >= 1 else ("min", 60.0) if longest >= 1 / 60 else ("s", 3600.0)


def _same(columns: Mapping[str, str], cells: Cells) -> dict[str, str]:
    """Heading -> the one cell of all rows, of columns after the first that have one; empty where all have none."""
    found = {heading: cells[key] for heading, key in list(columns.items())[1:]}
    return {heading: texts[0] for heading, texts in found.items() if len(texts) > 1 and len(set(texts)) == 1}


def _going(columns: dict[str, str], spare: Sequence[str]) -> Iterator[str]:
    """The headings in the order in which they go."""
    short_spare = [name if name in columns else _last_name(name) for name in spare]
    first = [heading for heading in short_spare if heading in columns]
    yield from first
    yield from [heading for heading in reversed(list(columns)[1:]) if heading not in first]


def _said(who: str, same: Mapping[str, str]) -> str:
    return f"{who}: {', '.join(f'{heading} {text}' for heading, text in same.items())}"
