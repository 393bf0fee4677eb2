"""Attempts of runs: who may write, where each began and how it ended, from the flat folder `attempts/`.

A fence is a file created once, so that of several starters exactly one gets each number. Starting processes is the
orchestrator's business, finding checkpoints the trainer's.
"""

import contextlib
import json
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dit_grid.experiments.store.errors import DamagedFileError, StoreError, SupersededError
from dit_grid.experiments.store.files import Files
from dit_grid.experiments.store.json_records import json_object
from dit_grid.experiments.store.liveness import is_live
from dit_grid.experiments.store.paths import START, StorePaths, parse_attempt

OUTCOMES = ("done", "cancelled", "failed", "preempted", "interrupted")
"""The usual outcomes. If several processes recorded different ends of one attempt, the first of these counts."""

_FEW = 8


@dataclass(frozen=True)
class Attempt:
    """One attempt of a run: `number` is its fencing token, `resume_step` the step of the checkpoint it restored."""

    run_id: str
    number: int
    resume_step: int


@dataclass(frozen=True)
class RunState:
    """The latest attempt of a run and its outcome, None while it has no recorded end."""

    run_id: str
    attempt: int
    outcome: str | None


@dataclass(frozen=True)
class AttemptRecord:
    """All that is recorded of an attempt: facts at the start, and (outcome, detail) of its end if it has one."""

    attempt: Attempt
    start: dict[str, Any]
    outcome: str | None
    end: dict[str, Any] | None


class Fences:
    """The attempts of a store's runs. Fences never change, so each is read once."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._resume_steps: dict[tuple[str, int], int] = {}

    def ends(self, run_ids: Collection[str] | None = None) -> dict[str, dict[int, set[str]]]:
        """Run id -> attempt number -> recorded outcomes, of the given runs or all; foreign files are ignored."""
        # One listing of all is cheaper than many of one run each.
        few = run_ids is not None and len(run_ids) <= _FEW
        prefixes = [f"{run_id}.a" for run_id in run_ids or ()] if few else [""]
        found: dict[str, dict[int, set[str]]] = {}
        for name in {name for prefix in prefixes for name in self._files.walk("attempts", prefix)}:
            record = parse_attempt(name)
            if record and (run_ids is None or record.run_id in run_ids):
                outcomes = found.setdefault(record.run_id, {}).setdefault(record.attempt, set())
                if record.what != START:
                    outcomes.add(record.what)
        return found

    def states(self) -> dict[str, RunState]:
        """Run id -> state, for every run that was ever started."""
        return {
            run_id: RunState(run_id, last := max(attempts), outcome_of(attempts[last]))
            for run_id, attempts in self.ends().items()
        }

    def resume_steps(self, attempts: Mapping[str, Iterable[int]]) -> dict[str, dict[int, int]]:
        """Run id -> attempt -> resume step, for runs with more than one attempt: a sole attempt limits nothing."""
        wanted = {run_id: [n for n in numbers if n > 1] for run_id, numbers in attempts.items()}
        keys = [(run_id, n) for run_id, numbers in wanted.items() for n in numbers]
        unread = [key for key in keys if key not in self._resume_steps]
        names = [StorePaths.attempt(run_id, n, START) for run_id, n in unread]
        for key, name, data in zip(unread, names, self._read_many(names), strict=True):
            self._resume_steps[key] = _resume_step(name, data)
        return {run_id: {n: self._resume_steps[run_id, n] for n in numbers} for run_id, numbers in wanted.items()}

    def _read_many(self, names: list[str]) -> list[bytes]:
        try:
            return self._files.read_many(names)
        except FileNotFoundError as error:
            raise DamagedFileError(f"{error}: an attempt has an end but no start; was its file deleted?") from error

    def begin(self, run_id: str, resume_step: int, resumed_attempt: int | None, facts: Mapping[str, Any]) -> Attempt:
        """The next attempt of the run; see `Store.begin_attempt`."""
        if resume_step < 0:
            raise StoreError(f"run {run_id}: resume_step {resume_step} must not be negative")
        # The token makes two fences differ always, so `create` cannot mistake another starter's for its own.
        record = {
            **facts,
            "resume_step": int(resume_step),
            "resumed_attempt": resumed_attempt,
            "token": uuid.uuid4().hex,
        }
        data = json.dumps(record, sort_keys=True, default=str).encode()
        while True:
            earlier = self.ends([run_id]).get(run_id, {})
            self._refuse_dead_checkpoint(run_id, resume_step, resumed_attempt, earlier)
            number = max(earlier, default=0) + 1
            try:
                self._files.create(StorePaths.attempt(run_id, number, START), data)
            except FileExistsError:
                continue
            return Attempt(run_id, number, int(resume_step))

    def _refuse_dead_checkpoint(
        self, run_id: str, step: int, resumed: int | None, earlier: Mapping[int, set[str]]
    ) -> None:
        if resumed is None:
            return
        if not is_live(self.resume_steps({run_id: earlier})[run_id], resumed, step):
            raise SupersededError(
                f"run {run_id}: the checkpoint of attempt {resumed} at step {step} is dead, a later attempt resumed "
                "before it; choose the newest live checkpoint again"
            )

    def end(self, attempt: Attempt, outcome: str, detail: Mapping[str, Any]) -> None:
        """Record the end of an attempt; a repeated outcome keeps its first detail."""
        if outcome == START:
            raise StoreError(f"outcome {outcome!r} is reserved for the fence; use one of {', '.join(OUTCOMES)}")
        data = json.dumps(dict(detail), sort_keys=True, default=str).encode()
        with contextlib.suppress(FileExistsError):
            self._files.create(StorePaths.attempt(attempt.run_id, attempt.number, outcome), data)

    def records(self, run_id: str) -> list[AttemptRecord]:
        """Every attempt of the run with what is recorded of it, oldest first."""
        found = []
        for number, outcomes in sorted(self.ends([run_id]).get(run_id, {}).items()):
            name = StorePaths.attempt(run_id, number, START)
            start = _parsed(name, self._read_many([name])[0])
            outcome = outcome_of(outcomes)
            end_name = StorePaths.attempt(run_id, number, outcome) if outcome else None
            end = _parsed(end_name, self._files.read(end_name)) if end_name else None
            attempt = Attempt(run_id, number, _resume_step(name, json.dumps(start).encode()))
            found.append(AttemptRecord(attempt, start, outcome, end))
        return found

    def details(self, states: Iterable[RunState], what: str | None = None) -> list[dict[str, Any]]:
        """What is recorded of the start (`what` is "start") or, by default, the outcome of each of these attempts."""
        names = [StorePaths.attempt(s.run_id, s.attempt, what or s.outcome or START) for s in states]
        return [_parsed(name, data) for name, data in zip(names, self._read_many(names), strict=True)]


def outcome_of(outcomes: set[str]) -> str | None:
    """The outcome that counts among those recorded for one attempt: by the order of OUTCOMES, then by name."""
    rank = {outcome: place for place, outcome in enumerate(OUTCOMES)}
    return min(outcomes, key=lambda outcome: (rank.get(outcome, len(rank)), outcome), default=None)


def _parsed(name: str, data: bytes) -> dict[str, Any]:
    return json_object(name, data, "restore it, or move the run out of the store")


def _resume_step(name: str, data: bytes) -> int:
    step = _parsed(name, data).get("resume_step")
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**63:
        raise DamagedFileError(f"{name}: resume_step must be a whole number from 0, got {repr(step)[:80]}")
    return step
