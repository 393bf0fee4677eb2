"""An incremental reader for live status: each poll reads only files that were not there at the poll before.

It remembers names, not rows; a program that wants whole histories reads the views of `store`.
"""

from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from dit_grid.experiments.store.attempts import Fences, RunState
from dit_grid.experiments.store.columns import in_one
from dit_grid.experiments.store.files import Files
from dit_grid.experiments.store.liveness import is_live
from dit_grid.experiments.store.paths import Compacted, Segment
from dit_grid.experiments.store.reading import Listing, Rows, fetch, listings, undisturbed
from dit_grid.experiments.store.records import EVALS, EVENTS, TRAIN, Table
from dit_grid.experiments.store.views import exactly_once


@dataclass(frozen=True)
class Update:
    """What is new since the poll before: the state of every run, and rows that were live when they were read.

    To keep a view up to date from updates: of rows with one key, the latest attempt's counts (a row may come twice,
    when its run was compacted); and rows given earlier are dropped once `is_live` with these `resume_steps` says so.
    """

    states: dict[str, RunState]
    resume_steps: dict[str, dict[int, int]]
    train: pa.Table
    evals: pa.Table
    events: pa.Table

    def is_live(self, run_id: str, attempt: int, step: int) -> bool:
        """Whether a row given by this or an earlier update still counts."""
        return is_live(self.resume_steps.get(run_id, {}), attempt, step)


@dataclass
class _Position:
    """How far one owner's rows in one table were read: segments by attempt, and the compaction then in force."""

    read: dict[int, int]
    head: Compacted | None


class Watch:
    """The position of one reader in a store; make one with `Store.watch`.

    A run whose latest attempt has ended is read once more and then not listed again until a new attempt begins.
    """

    def __init__(self, files: Files, fences: Fences) -> None:
        self._files, self._fences = files, fences
        self._positions: dict[tuple[str, str], _Position] = {}
        self._states: dict[str, RunState] = {}

    def poll(self) -> Update:
        """What is new since the last poll; the first poll returns everything."""
        states = self._fences.states()
        changed = [run for run, state in states.items() if state.outcome is None or self._states.get(run) != state]
        new = {table: undisturbed(partial(self._read, table, changed)) for table in (TRAIN, EVALS)}
        new[EVENTS] = undisturbed(partial(self._read, EVENTS, None))
        # Fences are listed after rows, so that no row comes before the fence that its attempt set.
        resume_steps = self._fences.resume_steps(self._fences.ends())
        rows = [_table(table, found, resume_steps) for table, found in new.items()]
        self._states = states
        return Update(states, resume_steps, *rows)

    def _read(self, table: Table, owners: list[str] | None) -> dict[str, Rows]:
        found = listings(self._files, table, owners)
        fresh = {owner: self._unread(table, owner, listing) for owner, listing in found.items()}
        rows = fetch(self._files, table, fresh)
        for owner, listing in fresh.items():
            self._advance(table, owner, listing, rows[owner].covers)
        return rows

    def _unread(self, table: Table, owner: str, listing: Listing) -> Listing:
        """The part of a listing to read now: all of it the first time and after a compaction."""
        position = self._positions.setdefault((table.name, owner), _Position({}, None))
        if listing.newest != position.head:
            return listing
        return Listing(_following(listing.segments, dict(position.read)))

    def _advance(self, table: Table, owner: str, listing: Listing, covers: dict[int, int]) -> None:
        position = self._positions[table.name, owner]
        if listing.newest:
            position.head, position.read = listing.newest, dict(covers)
        _following(listing.segments, position.read)


def _following(segments: list[Segment], read: dict[int, int]) -> list[Segment]:
    """The segments that follow on what was read without a gap; `read` is moved past them.

    A listing on a disk may show a file but not yet the one made before it; both are then left for the next poll.
    """
    fresh = []
    for segment in segments:
        if segment.sequence == read.get(segment.attempt, 0):
            fresh.append(segment)
            read[segment.attempt] = segment.sequence + 1
    return fresh


def _table(table: Table, found: dict[str, Rows], resume_steps: dict[str, dict[int, int]]) -> pa.Table:
    limits = resume_steps if table is not EVENTS else {}
    views = [exactly_once(table, rows.parts, limits.get(owner, {})) for owner, rows in sorted(found.items())]
    return in_one(table.schema, views)
