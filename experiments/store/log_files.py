"""The rows of a CSV or JSON-lines log that another program wrote, and the columns it has; nothing is left out unsaid.

What its columns mean is `importing`'s.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from dit_grid.experiments.store.errors import StoreError

Row = dict[str, Any]

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What spreadsheets of some countries, and other programs, put where a CSV has commas."""


@dataclass(frozen=True)
class LogFile:
    """A log as read: the columns of its header, or all that any JSON row has, and (line, row) without empty fields."""

    path: Path | str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Row], ...]


def read_log_file(path: Path) -> LogFile:
    """The log at a path that ends in .csv, .jsonl or .ndjson, in any case, UTF-8 with or without a byte-order mark.

    Raises StoreError, with the line, for a file that cannot be read as that, and for cells without a column.
    """
    kind = path.suffix.lower()
    if kind not in (".csv", ".jsonl", ".ndjson"):
        raise StoreError(f"{path}: a log to import must be .csv or .jsonl")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return _csv(path, file) if kind == ".csv" else _json_lines(path, file)
    except UnicodeDecodeError as error:
        raise StoreError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error})") from error
    except csv.Error as error:
        raise StoreError(f"{path}: not a CSV ({error})") from error


def _csv(path: Path, file: TextIO) -> LogFile:
    reader = csv.reader(file)
    header = next(reader, None)
    if header is None:
        raise StoreError(f"{path}: is empty; the first line must name the columns")
    _check_header(path, header)
    rows = tuple((reader.line_num, row) for cells in reader if (row := _cells(path, reader.line_num, header, cells)))
    return LogFile(path, tuple(header), rows)


def _check_header(path: Path, header: list[str]) -> None:
    if len(header) == 1:
        for sign, word in SEPARATORS.items():
            if sign in header[0]:
                names = header[0].replace(sign, ",")
                raise StoreError(
                    f"{path}:1: columns are separated by {word}; write commas (and points in numbers): {names}"
                )
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise StoreError(f"{path}:1: two columns are called {twice[0]!r}; rename one")


def _cells(path: Path, line: int, header: list[str], cells: list[str]) -> Row:
    if any(cells[len(header) :]):
        raise StoreError(f"{path}:{line}: {len(cells)} cells under {len(header)} columns; is a comma inside a number?")
    return {name: cell for name, cell in zip(header, cells, strict=False) if name and cell != ""}


def _json_lines(path: Path, file: TextIO) -> LogFile:
    found = list(_json_rows(path, file))
    columns = dict.fromkeys(name for _, row in found for name in row)
    rows = tuple((line, {name: value for name, value in row.items() if value is not None}) for line, row in found)
    return LogFile(path, tuple(columns), rows)


def _json_rows(path: Path, file: TextIO) -> Iterator[tuple[int, Row]]:
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{path}:{line}: not JSON ({str(error)[:200]})") from error
        if not isinstance(row, dict):
            raise StoreError(f"{path}:{line}: a JSON object is expected, got {text.strip()[:40]!r}")
        yield line, row
