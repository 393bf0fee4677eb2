"""The mirror: what a store has, in every tracker that is asked for, each number once, as it is flushed.

It reads the store as a page does and writes nothing to it. A tracker that fails holds up no other and no run; what it
missed it gets when it answers again, from the store.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dit_grid.experiments.store import RunState, Store, Update
from dit_grid.experiments.store.paths import FORMAT
from dit_grid.experiments.store.points import Points, eval_points, train_points
from dit_grid.experiments.store.records import RUNS
from dit_grid.experiments.tracking.cursor import Cursor, is_measurement
from dit_grid.experiments.tracking.one_at_a_time import locked
from dit_grid.experiments.tracking.tracker import AttemptEnd, Held, TrackedRun, Tracker, in_one_line
from dit_grid.model.plurals import counted, was

RETRY_S = 15.0
"""After how long a tracker that failed is asked again."""

OF_THE_MACHINE = ("train/steps_per_s", "train/mfu", "train/data_wait_s")
"""Numbers that come out otherwise whenever a step is made again, and mean nothing by that."""

FLOAT32 = 1e-6
"""How far two numbers may be apart, as a share, that are one in TensorBoard's 32 bits (2^-24)."""


@dataclass
class _Place:
    """One tracker, how far each run is there, and what it failed to take."""

    label: str
    tracker: Tracker
    cursors: Path
    at: dict[str, Cursor] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    behind: set[str] = field(default_factory=set)
    trouble: str = ""
    failed: str = ""
    """The run that it failed to take last: others go before it, so that one that is never taken holds up none."""
    asked_again: float = 0.0
    sent: int = 0
    made_again: dict[str, int] = field(default_factory=dict)


class Mirror:
    """A store and where it is mirrored to. `poll` once a second or so; one mirror a place at a time, by a lock."""

    def __init__(
        self, store: Store, trackers: Mapping[str, Tracker], cursors: Path, say: Callable[[str], None]
    ) -> None:
        self._store, self._say = store, say
        self._watch, self._runs, self._states = store.watch(), {}, {}  # type: ignore[var-annotated]
        self._places = [_Place(label, tracker, cursors / label) for label, tracker in trackers.items()]
        self._store_key = _store_key(store)

    @contextlib.contextmanager
    def alone(self, wait: Callable[[], bool]) -> Iterator[None]:
        """Hold the places' locks; while another holds one, `wait` says whether to wait for it. Raises TrackingError."""
        with contextlib.ExitStack() as stack:
            for place in self._places:
                stack.enter_context(locked(place.cursors, wait))
            try:
                yield
            finally:
                for place in self._places:
                    with contextlib.suppress(Exception):  # of a tracker that has failed all that can be said was said
                        place.tracker.close()

    @property
    def is_behind(self) -> bool:
        """Whether some tracker has not taken what it should have."""
        return any(place.behind for place in self._places)

    def poll(self, last: bool = False) -> None:
        """Mirror what is new since the last poll; the first mirrors everything that the trackers do not have.

        The last asks a tracker that failed once more, however short ago that was.
        """
        update = self._watch.poll()
        rows = _by_run(update)
        moved = {run for run, state in update.states.items() if self._states.get(run) != state}
        self._states = update.states
        self._learn(rows.keys() | moved)
        for place in self._places:
            place.asked_again = 0.0 if last else place.asked_again
            self._poll(place, rows, moved)

    def summary(self) -> list[str]:
        """A line a place: what was sent, and what the place cannot show as the store has it."""
        lines = []
        for place in self._places:
            behind = f"; behind with {counted(len(place.behind), 'run')}, which the same command brings"
            lines.append(f"{place.label}: {counted(place.sent, 'number')} sent{behind if place.behind else ''}")
            for run, count in place.made_again.items():
                again = f"{counted(count, 'number')} {was(count)} made again by a later attempt"
                lines.append(f"{place.label}: {run}: {again} and came out otherwise; a tracker keeps the first, the "
                             "store the last")  # fmt: skip
        return lines

    def _learn(self, run_ids: set[str]) -> None:
        fresh = sorted(run_ids - self._runs.keys())
        known = set(self._store.run_ids()) if fresh else set()
        for row in self._store.runs([run for run in fresh if run in known]).to_pylist():
            self._runs[row["run_id"]] = _tracked(row, self._store_key)

    def _poll(self, place: _Place, rows: Mapping[str, list[Points]], moved: set[str]) -> None:
        wanted = (rows.keys() | moved) & self._runs.keys()
        if place.behind and time.monotonic() < place.asked_again:
            place.behind |= wanted
            return
        again, place.behind = place.behind, set()
        for run_id in sorted(wanted | again, key=lambda run_id: (run_id == place.failed, run_id)):
            if place.behind:
                place.behind.add(run_id)
                continue
            try:
                new = self._all_rows(run_id) if run_id in again else rows.get(run_id, [])
                self._mirror(place, self._runs[run_id], new, self._states.get(run_id))
            except Exception as error:  # whatever another program raises: the run must not care, the user must know
                self._failed(place, run_id, error)

    def _failed(self, place: _Place, run_id: str, error: Exception) -> None:
        said = in_one_line(error)
        if said != place.trouble:
            self._say(f"{place.label}: {said}; tried again every {RETRY_S:.0f} s")
        place.trouble, place.asked_again = said, time.monotonic() + RETRY_S
        place.behind.add(run_id)
        place.failed = run_id
        place.held.pop(run_id, None)

    def _mirror(self, place: _Place, run: TrackedRun, rows: list[Points], state: RunState | None) -> None:
        file = place.cursors / f"{run.key}.json"  # buckets of one name share a folder here
        cursor = place.at.get(run.run_id) or Cursor.read(file)
        place.at[run.run_id] = cursor
        new = [row for row in rows if not cursor.covers(row)]
        ends = self._new_ends(run.run_id, cursor, state)
        outcome = state.outcome if state else None
        if not new and not ends and (outcome is None or cursor.ended == f"{state.attempt} {outcome}"):  # type: ignore[union-attr]
            return
        if run.run_id not in place.held:
            place.tracker.begin(run)
            place.held[run.run_id] = place.tracker.held(run)
        elif any(row.attempt > cursor.attempt for row in new):
            place.held[run.run_id] = place.tracker.held(run)
        missing = self._missing(place, run.run_id, new)
        if missing:
            place.tracker.send(run, missing)
            place.sent += sum(len(row.values) for row in missing)
        for end in ends:
            place.tracker.tell(run, end)
            cursor.attempts[str(end.attempt)] = end.outcome
        cursor.move(new)
        if state and outcome:
            place.tracker.end(run, outcome)
            place.held.pop(run.run_id)
            cursor.ended = f"{state.attempt} {outcome}"
        cursor.write(file)

    def _missing(self, place: _Place, run_id: str, rows: list[Points]) -> list[Points]:
        """What of the rows the place does not have; of what it has, it is noted where the numbers differ."""
        held, missing = place.held[run_id], []
        for row in rows:
            left = {}
            for name, value in row.values.items():
                there = held.get(place.tracker.named(name), {}).get(row.step)
                if there is None:
                    left[name] = value
                elif name not in OF_THE_MACHINE and not _same(there, value):
                    place.made_again[run_id] = place.made_again.get(run_id, 0) + 1
            if left:
                missing.append(row._replace(values=left))
        return missing

    def _new_ends(self, run_id: str, cursor: Cursor, state: RunState | None) -> list[AttemptEnd]:
        """Ends of attempts that the place was not told of; their records are read only where there can be one."""
        if state is None:
            return []
        latest = state.attempt if state.outcome else state.attempt - 1
        if all(str(number) in cursor.attempts for number in range(1, latest + 1)):
            return []
        found = self._store.attempts(run_id)
        ends = [AttemptEnd(one.attempt.number, one.outcome or "lost") for one in found if one.attempt.number <= latest]
        return [end for end in ends if cursor.attempts.get(str(end.attempt)) != end.outcome]

    def _all_rows(self, run_id: str) -> list[Points]:
        return _sorted([
            *train_points(self._store.train([run_id]).to_pylist()),
            *eval_points(self._store.evals([run_id]).to_pylist()),
        ])  # fmt: skip


def _by_run(update: Update) -> dict[str, list[Points]]:
    found: dict[str, list[Points]] = {}
    for table, points in ((update.train, train_points), (update.evals, eval_points)):
        for row in table.to_pylist():
            found.setdefault(row["run_id"], []).extend(points([row]))
    return {run: _sorted(rows) for run, rows in found.items()}


def _sorted(rows: list[Points]) -> list[Points]:
    """By attempt and step, so that what was sent is at any time all up to one place."""
    return sorted(rows, key=lambda row: (row.attempt, row.step, is_measurement(row)))


def _same(there: float, value: float) -> bool:
    return math.isclose(there, value, rel_tol=FLOAT32) or (math.isnan(there) and math.isnan(value))


def _store_key(store: Store) -> str:
    """A few letters that tell runs of one id in two stores apart: the store's own id, which a copy shares."""
    made = json.loads(store.files.read(FORMAT)).get("id")
    return str(made)[:6] if made else "store"


def _tracked(row: Mapping[str, Any], store_key: str) -> TrackedRun:
    """The run as trackers are told of it: its row in the store, with the spec as nested values."""
    config = {name: row[name] for name in RUNS.schema.names if row[name] not in (None, "")}
    with contextlib.suppress(ValueError):
        config["spec"] = json.loads(config.get("spec", ""))
    return TrackedRun(row["run_id"], store_key, row["experiment"] or "runs", config)
