"""How the runs of a store stand, read from the store alone: no scheduler, no Ray and no JAX needs to be alive.

A run counts as running while its process is (on this machine), or while its last row is younger than a few flushes.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.abc import MetaPathFinder
from statistics import median
from typing import Any, TypeGuard

from dit_grid.experiments.running.measured_steps import MeasuredSteps
from dit_grid.experiments.store import RunState, Store
from dit_grid.experiments.store.json_records import is_number
from dit_grid.orchestrator.control.lease import Held, Watcher, newest_note
from dit_grid.orchestrator.control.requests import CANCEL, PAUSE, asked, standing

TRAIN_COLUMNS = ("run_id", "step", "steps_per_s", "mfu", "loss", "wall_unix_s")
"""What status reads of the train table."""

MOST_TOLD_APART = 200
"""Of more runs the specs are not read to tell runs of one model apart; a status is to be quick."""

SILENCE_S = 120.0
"""A run on another machine that wrote nothing for so long is taken to be gone."""


@dataclass(frozen=True)
class RunStatus:
    """One run: `state` is waiting, running, done, failed, interrupted, lost, cancelled or paused; unknown is None."""

    run_id: str
    model: str
    state: str
    step: int
    steps: int | None
    steps_per_s: float | None
    mfu: float | None
    loss: float | None
    metrics: dict[str, float]
    eta_s: float | None
    attempts: int
    device: str
    message: str
    waits_for: str = ""
    """Why it, or a job that measures it, waits, by the last word of the driver; empty if it does not, or none said."""
    measured: str = ""
    """Of a run that is not done: how many of its evaluations are in the store, of how many."""
    swept: dict[str, Any] = field(default_factory=dict)
    """What tells it from other runs of its model: settings that the store's runs were swept over, by dotted name."""
    alarm: str = ""
    """Where its training loss left the curve of its peers, and by how much, in words; empty while it does not."""


def read_status(store: Store, now: float | None = None) -> list[RunStatus]:
    """Return the status of every run in the store, by run id.

    A run that is done is known from the record of its end alone, so that thousands of them cost a small read each.
    """
    now = time.time() if now is None else now
    states, asked_for = store.states(), standing(asked(store.files))
    found = {row.run_id: row for row in _summed_up(store, [s for s in states.values() if s.outcome == "done"])}
    others = [run_id for run_id in store.run_ids() if run_id not in found]
    waits = _waits(newest_note(store.files)) if others else {}
    for row in _from_tables(store, others, states, now):
        row = _as_asked(row, asked_for.get(row.run_id))
        waits_for = waits.get(row.run_id) if row.state != "done" else None
        found[row.run_id] = replace(row, waits_for=waits_for) if waits_for else row
    return _told_apart(store, [found[run_id] for run_id in sorted(found)])


def _told_apart(store: Store, rows: list[RunStatus]) -> list[RunStatus]:
    """Return the rows with their swept settings, where a few runs have one model; of thousands a table shows none."""
    if len(rows) > MOST_TOLD_APART or len({row.model for row in rows}) == len(rows):
        return rows
    from dit_grid.experiments.spec.swept import told_apart  # specs take a while to import

    specs = {run["run_id"]: _spec(run["spec"]) for run in store.runs(columns=["run_id", "spec"]).to_pylist()}
    settings = told_apart([specs.get(row.run_id, {}) for row in rows])
    return [replace(row, swept=swept) for row, swept in zip(rows, settings, strict=True)]


def _spec(text: Any) -> dict[str, Any]:
    """Return the spec of a run; nothing of an imported one that has none."""
    try:
        held = json.loads(text or "{}")
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}


def _waits(note: dict[str, Any]) -> dict[str, str]:
    """Return run id -> why it waits; where only its evaluations do, why the first of them does."""
    said = note.get("waits")
    if not said or not isinstance(said, dict):
        return {}
    from dit_grid.experiments.running.owed_evaluations import parsed_job_id  # specs take a while to import

    own, measuring = dict[str, str](), dict[str, tuple[int, str]]()
    for reason, names in said.items():
        for name in filter(lambda name: isinstance(name, str), names if isinstance(names, list) else ()):
            job = parsed_job_id(name)
            if job is None:
                own[name] = reason
            else:
                measuring[job[0]] = min((job[1], reason), measuring.get(job[0], (job[1], reason)))
    return {run_id: f"evaluation of step {step}: {reason}" for run_id, (step, reason) in measuring.items()} | own


def _summed_up(store: Store, done: list[RunState]) -> Iterator[RunStatus]:
    """Yield the status of the runs whose end says it all; earlier versions and imported runs left less."""
    for state, end in zip(done, store.details(done), strict=True):
        said = end.get("summary")
        if _is_summary(said, end.get("step")):
            yield RunStatus(
                state.run_id, said["model"], "done", end["step"], said["steps"], said["steps_per_s"], said["mfu"],
                said["loss"], said["metrics"], None, state.attempt, said["device"], "",
            )  # fmt: skip


def _is_summary(said: Any, step: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether an end says all that a status needs; of one that does not, the tables are asked."""
    if not isinstance(said, dict) or not isinstance(said.get("metrics"), dict):
        return False
    counts, texts = (step, said.get("steps")), (said.get("model"), said.get("device"))
    maybe = [said.get(name, "") for name in ("steps_per_s", "mfu", "loss")]
    return (
        all(is_number(count) and float(count).is_integer() for count in counts)
        and all(isinstance(text, str) for text in texts)
        and all(value is None or is_number(value) for value in (*maybe, *said["metrics"].values()))
    )


def _from_tables(store: Store, run_ids: list[str], states: dict[str, RunState], now: float) -> Iterator[RunStatus]:
    if not run_ids:
        return
    begun = [states[run_id] for run_id in run_ids if run_id in states]
    names = [state.run_id for state in begun]
    starts = dict(zip(names, store.details(begun, "start"), strict=True))
    ended = [state for state in begun if state.outcome]
    ends = {state.run_id: end for state, end in zip(ended, store.details(ended), strict=True)}
    last = {row["run_id"]: row for row in store.latest_train(names, columns=TRAIN_COLUMNS).to_pylist()} if names else {}
    columns = ["run_id", "step", "metric", "value"]
    evals = store.evals(names, columns=columns).to_pylist() if names else []
    metrics, measured = _latest_metrics(evals), _steps_of(evals)
    for run in store.runs(run_ids, columns=["run_id", "model", "steps", "spec"]).to_pylist():
        name = run["run_id"]
        facts, end = starts.get(name, {}), ends.get(name, {})
        row = _status(run, states.get(name), facts, end, last.get(name, {}), metrics.get(name, {}), now)
        so_far = _measured(run, measured.get(name, set())) if name in states and row.state != "done" else ""
        yield replace(row, measured=so_far) if so_far else row


def _steps_of(evals: list[dict[str, Any]]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for row in evals:
        found.setdefault(row["run_id"], set()).add(row["step"])
    return found


def _measured(run: dict[str, Any], found: set[int]) -> str:
    """How many of its evaluations there are; nothing of a run that has none, as of one's own trainer."""
    due = MeasuredSteps.stored(_spec(run["spec"]))
    return f"{sum(step in due for step in found)}/{len(due)}" if due else ""


def driver_line(store: Store) -> str:
    """Return one line about the process that drives the grid, or that none does."""
    driver = Watcher(store).look()
    if isinstance(driver, Held):
        return f"driven by process {driver.holder.get('pid')} on {driver.holder.get('host')}"
    return "no launch is running"


def spent_line(store: Store) -> str:
    """Return what the newest launch was billed and its runs held, by its own last word; empty where it said nothing."""
    said = newest_note(store.files).get("spent")
    return said if isinstance(said, str) else ""


def _as_asked(status: RunStatus, what: str | None) -> RunStatus:
    """A run that somebody cancelled or paused is that, unless it is done or still on its way to a checkpoint."""
    if what is None or status.state in ("done", "running"):
        return status
    return replace(status, state={CANCEL: "cancelled", PAUSE: "paused"}[what])


def without_pandas() -> None:
    """Make this process one where pandas is not installed, for commands that only look.

    pyarrow imports pandas wherever it finds it, which takes a second, and does without where it does not.
    """
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _NoPandas())


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("kept out by `without_pandas`", name=fullname)


def _status(
    run: dict[str, Any], state: RunState | None, facts: dict[str, Any], end: dict[str, Any], row: dict[str, Any],
    metrics: dict[str, float], now: float,
) -> RunStatus:  # fmt: skip
    if state is None:
        name = "waiting"
    elif state.outcome:
        name = state.outcome
    else:
        name = "running" if _alive(facts, row, now) else "lost"
    step, rate = int(row.get("step", 0)), row.get("steps_per_s")
    left = (run["steps"] - step) / rate if name == "running" and rate and run["steps"] else None
    return RunStatus(
        run["run_id"], run["model"], name, step, run["steps"], rate, row.get("mfu"), row.get("loss"), metrics, left,
        state.attempt if state else 0, str(facts.get("device", "")), str(end.get("message", "")),
    )  # fmt: skip


def _alive(facts: dict[str, Any], row: dict[str, Any], now: float) -> bool:
    pid, began = facts.get("pid"), facts.get("started_unix_s")
    if facts.get("host") == socket.gethostname() and isinstance(pid, int) and 0 < pid < 2**31:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    heard = max(row.get("wall_unix_s") or 0.0, float(began) if is_number(began) else 0.0)
    return now - heard < SILENCE_S


def _latest_metrics(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    latest: dict[str, dict[str, float]] = {}
    for row in sorted(rows, key=lambda row: row["step"]):
        latest.setdefault(row["run_id"], {})[row["metric"]] = row["value"]
    return latest


def median_speeds(store: Store) -> dict[str, float]:
    """Return run id -> median updates a second over the run's logged windows, for runs that have any."""
    speeds: dict[str, list[float]] = {}
    for row in store.train().select(["run_id", "steps_per_s"]).to_pylist():
        if row["steps_per_s"]:
            speeds.setdefault(row["run_id"], []).append(row["steps_per_s"])
    return {run_id: median(values) for run_id, values in speeds.items()}
