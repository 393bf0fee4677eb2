"""A full inspection of a store: every file read, every name, count and owner compared with what should be there.

It only reports; nothing is repaired or deleted.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dit_grid.experiments.store.attempts import Fences
from dit_grid.experiments.store.checkpoint_marks import damaged
from dit_grid.experiments.store.encoding import decode, misplaced_column
from dit_grid.experiments.store.errors import StoreError
from dit_grid.experiments.store.paths import START, Compacted, Segment, StorePaths, parse_attempt, parse_rows, parse_run
from dit_grid.experiments.store.reading import Listing, listings
from dit_grid.experiments.store.records import EVALS, EVENTS, RUNS, TRAIN, Table
from dit_grid.experiments.store.store import Store

_Started = Mapping[str, Mapping[int, set[str]]]


@dataclass(frozen=True, order=True)
class Finding:
    """Something about a file: an error means numbers are missing or cannot be trusted, otherwise it is harmless."""

    name: str
    problem: str
    is_error: bool = True


def check(store: Store) -> list[Finding]:
    """Everything found, sorted by name; a sound store has no finding with `is_error`.

    Checked: names, readability with page checksums, schema version, that rows belong to the run and attempt of their
    file's name, missing segments, histories and fences, runs without their row, checkpoints' files to the last bit.
    """
    started = Fences(store.files).ends()
    found = [*_foreign(store), *_runs(store), *_attempts(store, started)]
    for table in (TRAIN, EVALS, EVENTS):
        listed = listings(store.files, table)
        found += _gone(store, table, listed)
        for owner, listing in listed.items():
            found += _rows(store, table, listing)
            if table is not EVENTS:
                found += _unfenced(owner, listing, started.get(owner, {}))
    found += [Finding(name, problem) for name, problem in damaged(store.files, started)]
    found += [
        Finding(name, "left half-made by a killed writer; gc removes it", False) for name in store.files.leftovers()
    ]
    return sorted(set(found))


def _foreign(store: Store) -> Iterator[Finding]:
    for folder, parse in (("runs", parse_run), ("attempts", parse_attempt)):
        yield from (_ignored(name) for name in store.files.walk(folder) if parse(name) is None)
    for table in (TRAIN, EVALS, EVENTS):
        yield from (_ignored(name) for name in store.files.walk(table.name) if parse_rows(name) is None)


def _ignored(name: str) -> Finding:
    return Finding(name, "not a name of the store's; readers ignore it", is_error=False)


def _runs(store: Store) -> Iterator[Finding]:
    for name in store.files.walk("runs"):
        if run_id := parse_run(name):
            yield from _readable(store, RUNS, name, {"run_id": run_id})[1]


def _attempts(store: Store, started: _Started) -> Iterator[Finding]:
    runs = {parse_run(name) for name in store.files.walk("runs")}
    for run_id, attempts in started.items():
        if run_id not in runs:
            yield Finding(StorePaths.run(run_id), "missing, though the run was started")
        for number in set(range(1, max(attempts) + 1)) - attempts.keys():
            yield Finding(StorePaths.attempt(run_id, number, START), "missing, though a later attempt was started")
        try:
            store.attempts(run_id)
        except StoreError as error:
            yield Finding(StorePaths.attempt(run_id, max(attempts), START), str(error))


def _gone(store: Store, table: Table, listed: Collection[str]) -> Iterator[Finding]:
    """Runs whose end tells of rows of which no file is left: with its only compaction a run's whole history is lost."""
    told = {TRAIN.name: "loss", EVALS.name: "metrics"}.get(table.name)
    ended = [state for state in store.states().values() if state.outcome and state.run_id not in listed]
    for state in ended if told else ():
        try:
            (end,) = store.details([state])
        except StoreError:
            continue  # `_attempts` names it
        summary = end.get("summary")
        if isinstance(summary, dict) and summary.get(told):
            folder = StorePaths.folder(table.name, state.run_id)
            yield Finding(folder, f"holds no rows, though the run ended with {told} {summary[told]}: they are lost")


def _rows(store: Store, table: Table, listing: Listing) -> Iterator[Finding]:
    covers: Mapping[int, int] = {}
    parts: list[Segment | Compacted] = [*listing.compacted, *listing.segments]
    for part in parts:
        name = StorePaths.rows(part)
        read, findings = _readable(store, table, name, {})
        yield from findings
        if read is not None:
            yield from _belongs(table, part, name, read[0])
            covers = read[1] if part == listing.newest else covers
    yield from _gaps(listing, covers)


def _readable(
    store: Store, table: Table, name: str, constants: Mapping[str, str]
) -> tuple[tuple[pa.Table, dict[int, int]] | None, list[Finding]]:
    try:
        data = store.files.read(name)
        rows, fault = decode(table, data, name, constants), misplaced_column(data)
        return rows, [Finding(name, fault)] if fault else []
    except FileNotFoundError:
        return None, []
    except StoreError as error:
        return None, [Finding(name, str(error))]


def _belongs(table: Table, part: Segment | Compacted, name: str, rows: pa.Table) -> Iterator[Finding]:
    said: dict[str, str | int] = {"journal" if table is EVENTS else "run_id": part.owner}
    if table is not EVENTS and isinstance(part, Segment):
        said["attempt"] = part.attempt
    for column, value in said.items():
        strange = set(pc.unique(rows[column]).to_pylist()) - {value}
        if strange:
            yield Finding(name, f"rows say {column} {sorted(map(str, strange))}, the name says {value!r}")
    for column in table.key:
        if rows[column].null_count:
            yield Finding(name, f"{rows[column].null_count} rows have no {column!r}, which is part of the key")


def _gaps(listing: Listing, covers: Mapping[int, int]) -> Iterator[Finding]:
    due = dict(covers)
    for segment in listing.uncovered(covers):
        for sequence in range(due.get(segment.attempt, 0), segment.sequence):
            missing = Segment(segment.table, segment.owner, segment.attempt, sequence)
            yield Finding(StorePaths.rows(missing), "missing, though later segments exist: its rows are lost")
        due[segment.attempt] = segment.sequence + 1


def _unfenced(run_id: str, listing: Listing, started: Mapping[int, set[str]]) -> Iterator[Finding]:
    for number in {segment.attempt for segment in listing.segments} - started.keys():
        yield Finding(StorePaths.attempt(run_id, number, START), "missing, though the attempt wrote rows")
