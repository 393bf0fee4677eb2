"""MLflow as a tracker, on a server or in a local database: an experiment for the grid, a run for each of ours.

Ours are found again by a tag. A number's time is the store's, so that sending it twice to a database is one row.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from dit_grid.experiments.store.points import Points
from dit_grid.experiments.tracking.foreign_run import flat
from dit_grid.experiments.tracking.mlflow_client import as_logged, mlflow_client
from dit_grid.experiments.tracking.tracker import AttemptEnd, Held, TrackedRun

KEY = "dit_grid.run"
"""The tag that says which run of which store a run of MLflow is."""

STATES = {"done": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
"""Ours in MLflow's words; a run that can go on is SCHEDULED."""

_METRICS, _PARAMS, _LONGEST = 1000, 100, 500
"""A request's most numbers and settings, and characters of a setting that every server takes."""

_FORBIDDEN = re.compile(r"[^\w\-. :/]")


class MlflowTracker:
    """Runs of one experiment at a tracking URI."""

    def __init__(self, uri: str, experiment: str) -> None:
        self._client, self._name = mlflow_client(uri), experiment
        self._experiment: str | None = None
        self._ids: dict[str, str] = {}

    def named(self, name: str) -> str:
        """The name without the characters that MLflow refuses."""
        return _name(name)

    def begin(self, run: TrackedRun) -> None:
        """Find the run by its tag, or make it, and say its settings."""
        from mlflow.entities import Param

        if self._experiment is None:
            there = self._client.get_experiment_by_name(self._name)
            self._experiment = there.experiment_id if there else self._client.create_experiment(self._name)
        found = self._client.search_runs([self._experiment], f"tags.`{KEY}` = '{run.key}'", max_results=1)
        made = found[0] if found else self._client.create_run(
            self._experiment, run_name=run.run_id, tags={KEY: run.key})  # fmt: skip
        self._ids[run.key] = made.info.run_id
        if found:
            self._client.update_run(made.info.run_id, status="RUNNING")
        params = [Param(_name(key), str(value)[:_LONGEST]) for key, value in flat(run.config)]
        params = [param for param in params if param.key not in made.data.params]
        for part in _parts(params, _PARAMS):
            self._client.log_batch(made.info.run_id, params=part)

    def held(self, run: TrackedRun) -> Held:
        """The history of every metric."""
        key = self._ids[run.key]
        return {
            name: {point.step: as_logged(point.value) for point in self._client.get_metric_history(key, name)}
            for name in self._client.get_run(key).data.metrics
        }

    def send(self, run: TrackedRun, rows: Sequence[Points]) -> None:
        """Log the numbers, as many a request as it takes."""
        from mlflow.entities import Metric

        metrics = [
            Metric(_name(name), value, round(row.wall_unix_s * 1000), row.step)
            for row in rows
            for name, value in row.values.items()
        ]
        for part in _parts(metrics, _METRICS):
            self._client.log_batch(self._ids[run.key], metrics=part)

    def tell(self, run: TrackedRun, end: AttemptEnd) -> None:
        """A tag for the attempt."""
        self._client.set_tag(self._ids[run.key], f"attempt.{end.attempt}", end.outcome)

    def end(self, run: TrackedRun, outcome: str) -> None:
        """Say the run's state."""
        key = self._ids.pop(run.key)
        if outcome in STATES:
            self._client.set_terminated(key, STATES[outcome])
        else:
            self._client.update_run(key, status="SCHEDULED")

    def close(self) -> None:
        """Nothing is open between requests."""


def _name(name: str) -> str:
    return _FORBIDDEN.sub("_", name)


def _parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))
