"""What a table of numbers holds: its columns of numbers and how many rows have all of them.

Reading it to train on is the trainer's own, which stands beside the spec.
"""

import csv
import math
from pathlib import Path

LEAST_ROWS = 20
"""Of fewer there is nothing to learn and to measure on."""


class TableError(ValueError):
    """Why a table cannot be learnt from, in one line for the user."""


def numbers_in(path: Path) -> tuple[list[str], int]:
    """The names of the columns that hold nothing but numbers, in order, and the number of rows.

    Raises TableError for a file that cannot be read, fewer than two such columns, or fewer than 20 rows.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except FileNotFoundError:
        raise TableError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path}: cannot be read as CSV: {error}") from None
    head, body = (rows[0], rows[1:]) if rows else ([], [])
    if ragged := next((number for number, row in enumerate(body, 2) if len(row) != len(head)), None):
        raise TableError(f"{path}: row {ragged} has {len(body[ragged - 2])} cells and the first row {len(head)}")
    numeric = [name for place, name in enumerate(head) if body and all(_is_number(row[place]) for row in body)]
    if len(numeric) < 2 or len(set(numeric)) < len(numeric):
        raise TableError(
            f"{path}: {len(numeric)} columns of numbers under names of their own ({', '.join(numeric) or 'none'}); two "
            "are needed, the last is what is predicted"
        )
    if len(body) < LEAST_ROWS:
        raise TableError(f"{path}: {len(body)} rows; at least {LEAST_ROWS} are needed")
    return numeric, len(body)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
