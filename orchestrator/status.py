"""How the runs of a store stand, read from the store alone: no scheduler, no Ray and no JAX needs to be alive.

A run counts as running while its process is (on this machine), or while its last row is younger than a few flushes.
"""

import os
import socket
import sys
import time
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from statistics import median
from typing import Any

from dit_grid.experiments.store import RunState, Store

TRAIN_COLUMNS = ("run_id", "step", "steps_per_s", "mfu", "loss", "wall_unix_s")
"""What status reads of the train table."""

SILENCE_S = 120.0
"""A run on another machine that wrote nothing for so long is taken to be gone."""


@dataclass(frozen=True)
class RunStatus:
    """One run: `state` is waiting, running, done, failed, interrupted or lost; unknown values are None."""

    run_id: str
    model: str
    state: str
    step: int
    steps: int
    steps_per_s: float | None
    mfu: float | None
    loss: float | None
    metrics: dict[str, float]
    eta_s: float | None
    attempts: int
    device: str
    message: str


def read_status(store: Store, now: float | None = None) -> list[RunStatus]:
    """Return the status of every run in the store, in the order of the runs table."""
    now = time.time() if now is None else now
    states = store.states()
    begun = list(states)
    last = {row["run_id"]: row for row in store.latest_train(begun, columns=TRAIN_COLUMNS).to_pylist()}
    metrics = _latest_metrics(store.evals(begun, columns=["run_id", "step", "metric", "value"]).to_pylist())
    return [
        _status(store, run, states.get(run["run_id"]), last.get(run["run_id"]), metrics.get(run["run_id"], {}), now)
        for run in store.runs().to_pylist()
    ]


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
    store: Store, run: dict[str, Any], state: RunState | None, row: dict[str, Any] | None,
    metrics: dict[str, float], now: float,
) -> RunStatus:  # fmt: skip
    record = store.attempts(run["run_id"])[-1] if state else None
    facts = record.start if record else {}
    row = row or {}
    if state is None:
        name = "waiting"
    elif state.outcome:
        name = state.outcome
    else:
        name = "running" if _alive(facts, row, now) else "lost"
    step, rate = int(row.get("step", 0)), row.get("steps_per_s")
    left = (run["steps"] - step) / rate if name == "running" and rate else None
    end = (record.end if record else None) or {}
    return RunStatus(
        run["run_id"], run["model"], name, step, run["steps"], rate, row.get("mfu"), row.get("loss"), metrics, left,
        state.attempt if state else 0, str(facts.get("device", "")), str(end.get("message", "")),
    )  # fmt: skip


def _alive(facts: dict[str, Any], row: dict[str, Any], now: float) -> bool:
    if facts.get("host") == socket.gethostname() and isinstance(facts.get("pid"), int):
        try:
            os.kill(facts["pid"], 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    heard = max(row.get("wall_unix_s") or 0.0, facts.get("started_unix_s") or 0.0)
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
