"""A table of measured rows and one of rows to predict, read and checked: what can be used, what was left out and why.

What is here knows nothing of laws. A row that cannot be used is dropped from the measured ones by a stated rule and
named; a row to predict is never dropped, so what is wrong with one is an error.
"""

import csv
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

FIRST_LINE = 2
"""The line of a CSV file that holds its first row."""


MOST_ASKED = 10_000
"""Rows to predict at most at once: a distribution of hundreds of components is asked for each."""


class TableError(ValueError):
    """A table that cannot be used; the message names the table, the line and the column, and what is allowed."""


@dataclass(frozen=True)
class Tables:
    """Usable measured rows and the rows to predict, with y, x and group as columns; `dropped` has a line a reason."""

    seen: pd.DataFrame
    asked: pd.DataFrame
    y: str
    x: tuple[str, ...]
    group: str | None
    dropped: tuple[str, ...]


TABLES = (".csv", ".tsv", ".parquet")
"""How the name of a file ends that `read_table` reads."""


def is_table(where: object) -> bool:
    """Whether this names a file of a table, there or not, and no store, which is a folder."""
    return isinstance(where, str | Path) and str(where).endswith(TABLES) and not Path(where).is_dir()


def read_table(path: str | Path) -> pd.DataFrame:
    """A CSV, TSV or Parquet file as a frame. Raises TableError where there is none or it cannot be read as one."""
    path = Path(path)
    if not path.is_file():
        raise TableError(f"{path}: {'a folder, and no table' if path.is_dir() else 'no such file'}")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return _separated(path, "\t" if path.suffix == ".tsv" else ",")
    except (
        ValueError,
        pd.errors.ParserError,
        OSError,
    ) as error:  # UnicodeDecodeError and EmptyDataError are ValueErrors
        raise TableError(f"{path}: cannot be read as a table: {str(error).splitlines()[0]}") from error


def _separated(path: Path, mark: str) -> pd.DataFrame:
    """The rows of a text file, names of columns without blanks around them. Raises ValueError for a name twice."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = [name.strip() for name in next(csv.reader(file, delimiter=mark), [])]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two columns are called {twice!r}; give one another name, or take it out")
    if len(names) == 1 and (other := next((m for m in ";\t," if m in names[0]), None)):
        raise ValueError(f"columns look separated by {other!r}, and {path.suffix} has them separated by {mark!r}")
    return pd.read_csv(path, sep=mark).rename(columns=lambda name: str(name).strip())


def checked(
    seen: pd.DataFrame, asked: pd.DataFrame, y: str, x: tuple[str, ...], group: str | None = None,
    names: tuple[str, str] = ("the table", "the rows to predict"),
) -> Tables:  # fmt: skip
    """The two tables with numbers as numbers, and what was dropped.

    A measured row is dropped where y or a predictor is missing, infinite, zero or negative (laws are fitted in
    logarithms), or where it repeats another in every column that is used. Rows alike but in y are reruns and stay.

    Raises:
        TableError: a column is missing or holds text, a row to predict has no usable value, or fewer than two rows, or
            rows of one single place, are left.
    """
    seen, asked = seen.reset_index(drop=True), asked.reset_index(drop=True)
    x = tuple(dict.fromkeys(name.strip() for name in x if name.strip()))
    if not x:
        raise TableError(f"--x: name at least one column of {names[0]}: {_columns(seen)}")
    for name in (y, group):
        if name in x:
            raise TableError(f"--x: {name!r} is also --{'y' if name == y else 'group'}; a column has one role")
    wanted = [*x, *([group] if group else [])]
    has_columns(seen, [y, *wanted], names[0])
    has_columns(asked, wanted, names[1])
    if asked.empty:
        raise TableError(f"{names[1]}: no row to predict")
    if len(asked) > MOST_ASKED:
        raise TableError(f"{names[1]}: {len(asked):,} rows to predict; at most {MOST_ASKED:,} at once, so ask in parts")
    measured = numbers(seen, [y, *x], names[0]).assign(**({group: _labels(seen[group])} if group else {}))
    rows = numbers(asked, list(x), names[1]).assign(**({group: _labels(asked[group])} if group else {}))
    _usable_all(rows, x, names[1])
    kept, dropped = _usable(measured, y, x, group)
    _enough(kept, x, names[0], dropped)
    return Tables(kept.reset_index(drop=True), rows.reset_index(drop=True), y, x, group or None, dropped)


def has_columns(frame: pd.DataFrame, wanted: list[str], name: str) -> None:
    """Raise TableError, with the nearest name, where the frame, called `name`, lacks a column."""
    for column in wanted:
        if list(frame.columns).count(column) > 1:
            raise TableError(f"{name}: two columns are called {column!r}; give one another name, or take it out")
        if column not in frame.columns:
            near = get_close_matches(column, [str(c) for c in frame.columns], n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise TableError(f"{name}: no column {column!r}{hint}; it has {_columns(frame)}")


def _columns(frame: pd.DataFrame) -> str:
    return ", ".join(map(str, frame.columns)) or "no columns"


def _labels(column: pd.Series) -> pd.Series:
    return column.astype(str).str.strip()


def numbers(frame: pd.DataFrame, columns: list[str], name: str) -> pd.DataFrame:
    """The columns as floats; an empty cell is NaN, a cell of text an error."""
    found = {}
    for column in columns:
        values = pd.to_numeric(frame[column], errors="coerce").astype(float)
        text = values.isna() & frame[column].notna() & (frame[column].astype(str).str.strip() != "")
        if text.any():
            row = int(np.flatnonzero(text)[0])
            cell = frame[column].iloc[row]
            plain = str(cell).replace(",", "").strip()
            fix = "name text as --group, or leave the column out"
            if "," in str(cell) and np.isfinite(pd.to_numeric(plain, errors="coerce")):
                fix = f"write it without commas: {plain}"
            raise TableError(f"{name}, line {row + FIRST_LINE}, column {column!r}: {cell!r} is not a number; {fix}")
        found[column] = values.to_numpy()
    return pd.DataFrame(found)


def _usable_all(rows: pd.DataFrame, x: tuple[str, ...], name: str) -> None:
    for column in x:
        bad = ~(np.isfinite(rows[column]) & (rows[column] > 0))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise TableError(
                f"{name}, line {row + FIRST_LINE}, column {column!r}: {rows[column].iloc[row]:g}; must be a number "
                "above zero"
            )


def _usable(rows: pd.DataFrame, y: str, x: tuple[str, ...], group: str | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    reasons: dict[str, list[int]] = {}
    keep = np.ones(len(rows), bool)

    def drop(bad: np.ndarray, reason: str) -> None:
        lines = np.flatnonzero(np.asarray(bad) & keep)
        if len(lines):
            reasons[reason] = [int(line) + FIRST_LINE for line in lines]
            keep[lines] = False

    for column in (y, *x):
        drop(rows[column].isna().to_numpy(), f"no value of {column}")
        drop(~np.isfinite(rows[column].to_numpy()), f"{column} is infinite")
        drop((rows[column] <= 0).to_numpy(), f"{column} is zero or negative, and laws are fitted in logarithms")
    if group:
        drop(rows[group].isin(["", "nan"]).to_numpy(), f"no value of {group}")
    drop(rows.duplicated().to_numpy(), "repeats an earlier row in every column used")
    said = tuple(
        f"{len(lines)} row{'s' * (len(lines) > 1)} left out, {reason}: line{'s' * (len(lines) > 1)} {_some(lines)}"
        for reason, lines in reasons.items()
    )
    return rows[keep], said


def _some(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:8]))
    return shown + (f" and {len(lines) - 8} more" if len(lines) > 8 else "")


def _enough(kept: pd.DataFrame, x: tuple[str, ...], name: str, dropped: tuple[str, ...]) -> None:
    why = f" ({'; '.join(dropped)})" if dropped else ""
    if len(kept) < 2:
        raise TableError(f"{name}: a forecast needs at least 2 usable rows, got {len(kept)}{why}")
    if len(kept[list(x)].drop_duplicates()) < 2:
        raise TableError(
            f"{name}: all {len(kept)} rows have the same {', '.join(x)}{why}; a law needs rows at 2 places or more"
        )
