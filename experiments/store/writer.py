"""Writers: rows are buffered, and each flush becomes one immutable segment a table.

A writer belongs to one attempt (or journal) and one thread; beside the trainer's only evaluations of the attempt's
checkpoints, each a writer of its own, add segments to it. Which rows count later is not a writer's business.

The trainer's contract: `flush()` before committing a checkpoint. Then after any crash every row up to the step of the
newest checkpoint exists, and what is past it will be made again by the next attempt.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from dit_grid.experiments.store.attempts import Attempt
from dit_grid.experiments.store.checked_rows import checked_row, table_of, table_of_columns
from dit_grid.experiments.store.encoding import encode
from dit_grid.experiments.store.errors import StoreError, SupersededError
from dit_grid.experiments.store.files import Files
from dit_grid.experiments.store.paths import Segment, StorePaths
from dit_grid.experiments.store.reading import next_sequence
from dit_grid.experiments.store.records import EVALS, EVENTS, TRAIN, Table

Row = Mapping[str, Any]


class _SegmentBuffer:
    """Rows of one table on their way into segments.

    A segment keeps its bytes until the store has confirmed them: after an error the same flush is simply repeated, and
    what was sent before an answer got lost is recognized as the writer's own.
    """

    def __init__(self, files: Files, table: Table, owner: str, attempt: int) -> None:
        self._files, self._table = files, table
        self._owner, self._attempt = owner, attempt
        self._sequence: int | None = None
        self._parts: list[pa.Table] = []
        self._rows: list[Row] = []
        self._unconfirmed: bytes | None = None

    def __len__(self) -> int:
        return len(self._rows) + sum(map(len, self._parts))

    def add(self, row: Row) -> None:
        self._rows.append(row)

    def add_many(self, rows: pa.Table) -> None:
        self._close_rows()
        self._parts.append(rows)

    def flush(self) -> None:
        while self._unconfirmed or len(self):
            if self._unconfirmed is None:
                self._close_rows()
                self._unconfirmed = encode(pa.concat_tables(self._parts).combine_chunks())
                self._parts = []
            self._commit(self._unconfirmed)
            self._unconfirmed = None

    def _close_rows(self) -> None:
        """What came row by row, as a part before what comes next."""
        if self._rows:
            self._parts.append(table_of(self._table, self._rows))
            self._rows = []

    def _commit(self, data: bytes) -> None:
        if self._sequence is None:
            self._sequence = next_sequence(self._files, self._table, self._owner, self._attempt)
        while not self._committed(data, self._sequence):  # several may measure checkpoints of one attempt
            self._sequence = next_sequence(self._files, self._table, self._owner, self._attempt)
        self._sequence += 1

    def _committed(self, data: bytes, sequence: int) -> bool:
        name = StorePaths.rows(Segment(self._table.name, self._owner, self._attempt, sequence))
        try:
            self._files.create(name, data)
        except FileExistsError as error:
            if self._table is EVALS:
                return False
            raise SupersededError(
                f"{name}: another process writes under the same attempt or journal; give each process its own"
            ) from error
        return True


class _Flushing:
    """When buffers are flushed: after so many rows or seconds, checked as rows come, and on clean exit."""

    def __init__(self, buffers: list[_SegmentBuffer], rows_per_flush: int, flush_s: float) -> None:
        if rows_per_flush < 1 or flush_s < 0:
            raise StoreError(f"flush every {rows_per_flush} rows or {flush_s} s: at least 1 row and 0 s are needed")
        self._buffers = buffers
        self._rows_per_flush, self._flush_s = rows_per_flush, flush_s
        self._flushed = time.monotonic()

    def _added(self) -> None:
        full = sum(map(len, self._buffers)) >= self._rows_per_flush
        if full or time.monotonic() - self._flushed >= self._flush_s:
            self.flush()

    def flush(self) -> None:
        """Commit all rows added so far. On StorageError nothing is lost: call it again when the cause is gone."""
        for buffer in self._buffers:
            buffer.flush()
        self._flushed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.flush()


class RowWriter(_Flushing):
    """Writes the train and eval rows of one attempt; `run_id`, `attempt` and `wall_unix_s` are filled in."""

    def __init__(
        self, files: Files, attempt: Attempt, clock: Callable[[], float], rows_per_flush: int, flush_s: float
    ) -> None:
        self._train = _SegmentBuffer(files, TRAIN, attempt.run_id, attempt.number)
        self._evals = _SegmentBuffer(files, EVALS, attempt.run_id, attempt.number)
        self._attempt, self._clock = attempt, clock
        super().__init__([self._train, self._evals], rows_per_flush, flush_s)

    def train(self, row: Row) -> None:
        """Add a row of `records.TRAIN`: `step` and any of its other columns."""
        self._add(TRAIN, self._train, row)

    def train_many(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Add rows of `records.TRAIN` by their columns, lists of one length: `step` and any of its other columns."""
        stamp = {"wall_unix_s": self._clock(), "run_id": self._attempt.run_id, "attempt": self._attempt.number}
        self._train.add_many(table_of_columns(TRAIN, columns, stamp))
        self._added()

    def eval(self, row: Row) -> None:
        """Add a row of `records.EVALS`: `step`, `metric`, `protocol` and any of its other columns."""
        self._add(EVALS, self._evals, row)

    def _add(self, table: Table, buffer: _SegmentBuffer, row: Row) -> None:
        stamped = {"wall_unix_s": self._clock(), **row, "run_id": self._attempt.run_id, "attempt": self._attempt.number}
        buffer.add(checked_row(table, stamped))
        self._added()


class EventWriter(_Flushing):
    """Writes one journal: what a scheduler process saw and decided, in order."""

    def __init__(
        self, files: Files, journal: str, first: int, clock: Callable[[], float], rows_per_flush: int, flush_s: float
    ) -> None:
        self._events = _SegmentBuffer(files, EVENTS, journal, 0)
        self._journal, self._sequence, self._clock = journal, first, clock
        super().__init__([self._events], rows_per_flush, flush_s)

    def event(self, kind: str, run_id: str = "", attempt: int | None = None, **detail: Any) -> None:
        """Add an event; `detail` must be what JSON can hold, other values are kept as text."""
        row = {
            "journal": self._journal,
            "sequence": self._sequence,
            "run_id": run_id,
            "attempt": attempt,
            "kind": kind,
            "detail": json.dumps(detail, sort_keys=True, default=str),
            "wall_unix_s": self._clock(),
        }
        self._events.add(checked_row(EVENTS, row))
        self._sequence += 1
        self._added()
