"""The exactly-once view of a table, as a pure function of the files that hold it and of the fences.

`liveness` states the rule; listing and fetching files is `reading`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from dit_grid.experiments.store.columns import no_rows, numbers, of_numbers
from dit_grid.experiments.store.liveness import live_limit
from dit_grid.experiments.store.records import Table


def exactly_once(table: Table, parts: Sequence[pa.Table], resume_steps: Mapping[int, int]) -> pa.Table:
    """The live rows of one owner, one a key, sorted by key.

    `parts` come in the order in which they were written within each attempt (a compaction before what it does not
    cover); `resume_steps` is by attempt, empty where no attempt limits another.
    """
    rows = pa.concat_tables(parts) if parts else no_rows(table.schema)
    if resume_steps:
        rows = rows.filter(of_numbers(_live(rows, resume_steps)))
    key = [name for name in table.key if name not in ("run_id", "journal")]
    if _strictly_increasing(rows[key[0]]):
        return rows
    return _last_of_each(_by_attempt(rows), key)


def _strictly_increasing(column: pa.ChunkedArray) -> bool:
    """True for what one undisturbed attempt writes: no two rows share a key, and they are sorted."""
    values = numbers(column)
    return bool(np.all(values[1:] > values[:-1]))


def _live(rows: pa.Table, resume_steps: Mapping[int, int]) -> np.ndarray:
    attempts, steps = numbers(rows["attempt"]), numbers(rows["step"])
    live = np.ones(len(rows), dtype=bool)
    for attempt in np.unique(attempts):
        limit = live_limit(resume_steps, int(attempt))
        if limit is not None:
            live &= (attempts != attempt) | (steps <= limit)
    return live


def _by_attempt(rows: pa.Table) -> pa.Table:
    """Rows in order of precedence: by attempt, and within one as they came."""
    if "step" not in rows.schema.names:
        return rows
    attempts = numbers(rows["attempt"])
    if np.all(attempts[1:] >= attempts[:-1]):
        return rows
    return rows.take(of_numbers(np.argsort(attempts, kind="stable")))


def _last_of_each(rows: pa.Table, key: list[str]) -> pa.Table:
    """The last row of each key, sorted by it; not by Arrow's `group_by`, which imports pandas and is slow to begin."""
    last = _last_numbers(numbers(rows[key[0]])) if len(key) == 1 else _last_keys(rows.select(key))
    return rows.take(of_numbers(last))


def _last_numbers(values: np.ndarray) -> np.ndarray:
    """Where each number stands last, in their order."""
    _, from_the_end = np.unique(values[::-1], return_index=True)
    return len(values) - 1 - from_the_end


def _last_keys(keys: pa.Table) -> np.ndarray:
    """Where each row of numbers and texts stands last, in their order, nulls after all else."""
    columns = [column.to_pylist() for column in keys.columns]
    last = {row: place for place, row in enumerate(zip(*columns, strict=True))}
    ordered = sorted(last, key=lambda row: [(value is None, value) for value in row])
    return np.array([last[row] for row in ordered], np.int64)
