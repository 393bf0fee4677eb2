"""What happened to the runs, from the store's attempts: outcomes, errors, versions, machines.

What is here reads small JSON records; numbers of runs are `dit_grid.analysis.results.frames`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MOST_READ = 3000
"""Attempt records are one small file each; of more runs than this the first ones' are read."""


@dataclass(frozen=True)
class Trouble:
    """An attempt that did not end well: which, how, the error in a line, and its traceback where there is one."""

    run_id: str
    attempt: int
    outcome: str
    message: str
    traceback: str


@dataclass(frozen=True)
class Ended:
    """An attempt in short: its number, the step it began at, where it ran, how it ended (or not yet), and why."""

    number: int
    began_at: int
    machine: str
    outcome: str
    message: str

    def told(self) -> list[str]:
        """The attempt as cells of a table: number, first step, outcome, machine, message."""
        return [str(self.number), f"{self.began_at:,}", self.outcome, self.machine, self.message]


@dataclass(frozen=True)
class History:
    """Attempts and their outcomes, every distinct version and machine, and what went wrong, in order of run."""

    attempts: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    machines: dict[str, int] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    by_run: dict[str, list[Ended]] = field(default_factory=dict)


def read_history(where: str, run_ids: Iterable[str]) -> History:
    """The history of the given runs in the store at a path or URL."""
    from dit_grid.experiments.store import Store  # frames made elsewhere need no store
    from dit_grid.experiments.store.attempts import outcome_of
    from dit_grid.experiments.store.paths import START, parse_attempt

    files, wanted = Store.open(where).files, set(list(run_ids)[:MOST_READ])
    names = [name for name in sorted(files.walk("attempts")) if (f := parse_attempt(name)) and f.run_id in wanted]
    found: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for name, data in zip(names, files.read_many(names), strict=True):
        of = parse_attempt(name)
        assert of is not None
        found.setdefault((of.run_id, of.attempt), {})[of.what] = _record(name, data)
    ends = {key: outcome_of(set(parts) - {START}) for key, parts in found.items()}
    troubles = [_trouble(*key, o, found[key][o]) for key, o in ends.items() if o not in ("done", None)]
    starts = [parts.get(START, {}) for parts in found.values()]
    return History(
        attempts=len(found),
        outcomes=dict(Counter(outcome or "not ended" for outcome in ends.values())),
        versions=_versions(starts),
        machines=dict(Counter(_machine(start) for start in starts)),
        troubles=tuple(troubles),
        by_run=_by_run(found, ends),
    )


def _by_run(
    found: dict[tuple[str, int], dict[str, dict[str, Any]]], ends: dict[tuple[str, int], str | None]
) -> dict[str, list[Ended]]:
    by_run: dict[str, list[Ended]] = {}
    for (run_id, number), outcome in sorted(ends.items()):
        start = found[run_id, number].get("start", {})
        message = _trouble(run_id, number, outcome, found[run_id, number][outcome]).message if outcome else ""
        began, said = start.get("resume_step"), "" if outcome == "done" else message
        ended = Ended(number, began if isinstance(began, int) else 0, _machine(start), outcome or "not ended", said)
        by_run.setdefault(run_id, []).append(ended)
    return by_run


def _record(name: str, data: bytes) -> dict[str, Any]:
    from dit_grid.experiments.store.json_records import json_object

    return json_object(name, data, "dit-grid store check lists all damage")


def _trouble(run_id: str, attempt: int, outcome: str, end: dict[str, Any]) -> Trouble:
    message = str(end.get("message") or end.get("class") or "").strip().splitlines()
    step = f" (at step {end['step']:,})" if isinstance(end.get("step"), int) else ""
    text = (message[0] if message else "no message") + step
    return Trouble(run_id, attempt, outcome, text, str(end.get("traceback") or ""))


def _versions(starts: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Program -> every version that ran; more than one means that runs are not strictly comparable."""
    found: dict[str, set[str]] = {}
    for start in starts:
        versions = start.get("versions")
        for name, version in versions.items() if isinstance(versions, dict) else ():
            found.setdefault(str(name), set()).add(str(version))
        if start.get("code_sha256"):
            found.setdefault("code of dit_grid", set()).add(str(start["code_sha256"])[:12])
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _machine(start: dict[str, Any]) -> str:
    device, count = start.get("device") or "unknown device", start.get("devices") or 1
    return f"{count} × {device}" + (f" ({start['platform']})" if start.get("platform") not in (None, device) else "")
