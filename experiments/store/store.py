"""The results store of one experiment or campaign: a folder or bucket path that many processes write and anybody reads.

This is the front door; each method's work is done in the module that it names. Spec, trainer and scheduler are not
known here, only the tables of `records`.
"""

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from os import PathLike
from typing import Any, Self

import pyarrow as pa

from dit_grid.experiments.store.attempts import Attempt, AttemptRecord, Fences, RunState
from dit_grid.experiments.store.checked_rows import checked_row, table_of
from dit_grid.experiments.store.columns import in_one
from dit_grid.experiments.store.encoding import decode, decode_together, encode
from dit_grid.experiments.store.errors import NewerVersionError, NotAStoreError, RunConflictError, StoreError
from dit_grid.experiments.store.files import Files, open_files
from dit_grid.experiments.store.latest import latest_rows
from dit_grid.experiments.store.liveness import live_limit
from dit_grid.experiments.store.paths import FORMAT, StorePaths, checked_id, parse_run
from dit_grid.experiments.store.reading import fetch, listings, undisturbed
from dit_grid.experiments.store.records import EVALS, EVENTS, RUNS, TRAIN, Table
from dit_grid.experiments.store.views import exactly_once
from dit_grid.experiments.store.watch import Watch
from dit_grid.experiments.store.writer import EventWriter, RowWriter

FORMAT_VERSION = 1
"""Version of the layout in `paths`. A later layout would raise it, and this program refuses such a store."""

_KIND = "dit-grid results store"


class Store:
    """Runs, their attempts and their numbers. Make one with `Store.create` or `Store.open`."""

    def __init__(self, files: Files, clock: Callable[[], float] = time.time) -> None:
        self.files = files
        self.paths = StorePaths(files.root)
        self._clock = clock
        self._fences = Fences(files)

    @classmethod
    def create(cls, where: str | PathLike[str]) -> Self:
        """The store at a path or gs:// URL, made if there is none. Raises StoreError if it cannot be made or read."""
        files = open_files(str(where))
        files.prepare()
        record = {"format": FORMAT_VERSION, "kind": _KIND, "created_unix_s": time.time(), "id": uuid.uuid4().hex}
        try:
            files.create(FORMAT, json.dumps(record, sort_keys=True).encode())
        except FileExistsError:
            return cls.open(where)
        return cls(files)

    @classmethod
    def open(cls, where: str | PathLike[str]) -> Self:
        """The existing store at a path or gs:// URL.

        Raises NotAStoreError if there is none, NewerVersionError if a later program made it, StorageError if the place
        cannot be read.
        """
        files = open_files(str(where))
        try:
            data = files.read(FORMAT)
        except FileNotFoundError as error:
            files.walk("runs")  # a bucket that does not exist answers this, and so the user, by saying so
            raise NotAStoreError(
                f"{where}: no results store here (no {FORMAT}); check the path, or make one with `dit-grid launch`"
            ) from error
        _check_format(str(where), data)
        return cls(files)

    def add_run(self, row: Mapping[str, Any]) -> bool:
        """Record a run; True if it is new, False if it is there already with the same spec.

        `row` has the columns of `records.RUNS`, with `spec` as JSON. Raises RunConflictError, naming what differs, if
        the id is taken by another spec.
        """
        stamped = checked_row(RUNS, {"created_unix_s": self._clock(), **row})
        data = encode(table_of(RUNS, [stamped]))
        name = StorePaths.run(stamped["run_id"])
        try:
            self.files.create(name, data)
            return True
        except FileExistsError:
            there = decode(RUNS, self.files.read(name), name, {"run_id": stamped["run_id"]})[0].to_pylist()[0]
        if difference := _difference(there["spec"], stamped.get("spec")):
            raise RunConflictError(
                f"run {stamped['run_id']}: already in {self.paths.root} with another spec ({difference}); "
                "use another store, or another seed or name"
            )
        return False

    def begin_attempt(
        self,
        run_id: str,
        resume_step: int,
        facts: Mapping[str, Any] | None = None,
        *,
        resumed_attempt: int | None = None,
    ) -> Attempt:
        """A new attempt of the run, which fences all earlier ones: of their work past `resume_step` nothing counts.

        `resume_step` is the step of the checkpoint restored, 0 for a fresh start. Give the attempt that wrote that
        checkpoint as `resumed_attempt`: if somebody else began an attempt before it in the meantime, SupersededError
        is raised and the checkpoint must be chosen again. Without it such a race could leave a gap in the history.

        To add evaluations to a finished run, begin an attempt with its last step as `resume_step`: it drops nothing.
        """
        stamped = {"started_unix_s": self._clock(), **(facts or {})}
        return self._fences.begin(run_id, resume_step, resumed_attempt, stamped)

    def end_attempt(self, attempt: Attempt, outcome: str, detail: Mapping[str, Any] | None = None) -> None:
        """Record how an attempt ended: done, failed, preempted, interrupted, cancelled or another lower-case word."""
        self._fences.end(attempt, outcome, {"ended_unix_s": self._clock(), **(detail or {})})

    def superseded(self, attempt: Attempt) -> bool:
        """Whether a later attempt of the run exists; then this one works for nothing and should stop."""
        return max(self._fences.ends([attempt.run_id]).get(attempt.run_id, {}), default=0) > attempt.number

    def states(self) -> dict[str, RunState]:
        """Run id -> its latest attempt and that one's outcome, for every run ever started; one listing."""
        return self._fences.states()

    def attempts(self, run_id: str) -> list[AttemptRecord]:
        """Every attempt of the run, oldest first, with the facts of its start and its end."""
        return self._fences.records(run_id)

    def details(self, states: Iterable[RunState], what: str | None = None) -> list[dict[str, Any]]:
        """The records of many attempts by one read each: of their start, or by default of their outcome."""
        return self._fences.details(states, what)

    def run_ids(self) -> list[str]:
        """The id of every run, sorted; one listing."""
        return sorted(run_id for name in self.files.walk("runs") if (run_id := parse_run(name)))

    def resume_steps(self, run_id: str) -> dict[int, int]:
        """Attempt -> resume step, for `liveness.newest_live`; attempt 1 is left out, it limits nobody."""
        return self._fences.resume_steps(self._fences.ends([run_id])).get(run_id, {})

    def live_limit(self, run_id: str, attempt_number: int) -> int | None:
        """The highest step up to which that attempt's rows and checkpoints count; None if there is no limit."""
        return live_limit(self.resume_steps(run_id), attempt_number)

    def writer(self, attempt: Attempt, rows_per_flush: int = 500, flush_s: float = 30.0) -> RowWriter:
        """The writer of an attempt's rows; one at a time. `flush` before committing a checkpoint."""
        return RowWriter(self.files, attempt, self._clock, rows_per_flush, flush_s)

    def journal(self, name: str, rows_per_flush: int = 500, flush_s: float = 5.0) -> EventWriter:
        """The writer of a journal of events, going on after those it holds; one process a journal."""
        checked_id("journal", name)
        held = self._view(EVENTS, [name])["sequence"].to_pylist()
        return EventWriter(self.files, name, max(held, default=-1) + 1, self._clock, rows_per_flush, flush_s)

    def runs(self, run_ids: Iterable[str] | None = None, columns: Collection[str] | None = None) -> pa.Table:
        """The rows of `records.RUNS`, by run id: of the given runs, or of all; all columns, or the given ones."""
        table = _narrowed(RUNS, columns)
        names = self.files.walk("runs") if run_ids is None else [StorePaths.run(run_id) for run_id in run_ids]
        found = {run_id: name for name in names if (run_id := parse_run(name))}
        ids = sorted(found)
        try:
            data = self.files.read_many([found[run_id] for run_id in ids])
        except FileNotFoundError as error:
            raise RunConflictError(f"{self.paths.root}: no such run ({error})") from error
        files = ((found[run_id], held, {"run_id": run_id}) for run_id, held in zip(ids, data, strict=True))
        return in_one(table.schema, decode_together(table, files))

    def train(self, run_ids: Iterable[str] | None = None, columns: Collection[str] | None = None) -> pa.Table:
        """The rows of `records.TRAIN` that count, exactly one a key, by run and step; see `liveness` for the rule.

        Only files of the given runs are read, and of those only the given columns, the key and `attempt`.
        """
        return self._view(_narrowed(TRAIN, columns), run_ids)

    def train_by_run(
        self, run_ids: Iterable[str] | None = None, columns: Collection[str] | None = None
    ) -> dict[str, pa.Table]:
        """Run id -> its rows of `train`, of runs that have any; as the whole of many runs is rarely wanted in one."""
        views = self._views(_narrowed(TRAIN, columns), run_ids)
        return {run_id: rows for run_id, rows in views.items() if len(rows)}

    def latest_train(self, run_ids: Iterable[str] | None = None, columns: Collection[str] | None = None) -> pa.Table:
        """The last row of `train` of each run, by run id, from a small read a run; for live status."""
        table, wanted = _narrowed(TRAIN, columns), None if run_ids is None else list(run_ids)
        return undisturbed(lambda: latest_rows(self.files, self._fences, table, wanted))

    def evals(self, run_ids: Iterable[str] | None = None, columns: Collection[str] | None = None) -> pa.Table:
        """The rows of `records.EVALS` that count, exactly one a key, sorted by it; arguments as for `train`."""
        return self._view(_narrowed(EVALS, columns), run_ids)

    def events(self, journals: Iterable[str] | None = None) -> pa.Table:
        """The rows of `records.EVENTS`, by journal and sequence."""
        return self._view(EVENTS, journals)

    def watch(self) -> Watch:
        """A reader that returns on each `poll` only what is new since the one before."""
        return Watch(self.files, self._fences)

    def _view(self, table: Table, owners: Iterable[str] | None) -> pa.Table:
        return in_one(table.schema, self._views(table, owners).values())

    def _views(self, table: Table, owners: Iterable[str] | None) -> dict[str, pa.Table]:
        """Owner -> its rows, sorted by owner."""
        wanted = None if owners is None else list(owners)
        return undisturbed(lambda: self._views_once(table, wanted))

    def _views_once(self, table: Table, owners: list[str] | None) -> dict[str, pa.Table]:
        found = listings(self.files, table, owners)
        # Fences are listed after segments: a segment that we see cannot have been fenced without our knowing.
        limits = self._fences.resume_steps(self._fences.ends(owners)) if table.name != "events" else {}
        stored = fetch(self.files, table, found)
        return {owner: exactly_once(table, rows.parts, limits.get(owner, {})) for owner, rows in sorted(stored.items())}


def _narrowed(table: Table, columns: Collection[str] | None) -> Table:
    """The table with only the given columns and those that the view needs."""
    if columns is None:
        return table
    if unknown := set(columns) - set(table.schema.names):
        raise StoreError(f"{table.name}: no column {sorted(unknown)[0]!r}; allowed: {', '.join(table.schema.names)}")
    kept = {*columns, *table.key, "attempt"}
    return Table(table.name, table.key, tuple(column for column in table.columns if column.name in kept))


def _check_format(where: str, data: bytes) -> None:
    try:
        record = json.loads(data)
        version = record["format"] if record.get("kind") == _KIND else None
    except (ValueError, AttributeError, KeyError, RecursionError):
        version = None
    if not isinstance(version, int):
        raise NotAStoreError(f"{where}: its {FORMAT} is not one of dit-grid; give the path of a dit-grid results store")
    if version > FORMAT_VERSION:
        raise NewerVersionError(
            f"{where}: store format {version}, this program knows up to {FORMAT_VERSION}; upgrade dit-grid to read it"
        )


def _difference(there: str | None, given: str | None) -> str:
    """Which fields of two specs in JSON differ, with both values; empty if none does."""
    if there == given:
        return ""
    try:
        old, new = json.loads(there or "null"), json.loads(given or "null")
    except ValueError:
        return f"there {there!r}, here {given!r}"
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return "" if old == new else f"there {there}, here {given}"
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return ", ".join(f"{name}: there {old.get(name)!r}, here {new.get(name)!r}" for name in names)
