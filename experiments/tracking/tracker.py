"""What a tracker has to do to be mirrored to, and what it is told of a run.

The three that there are: `wandb_tracker`, `mlflow_tracker`, `tensorboard_tracker`. Who tells them is `mirror`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from socket import gaierror
from typing import Any, Protocol

from dit_grid.experiments.store import StoreError
from dit_grid.experiments.store.points import Points

Held = dict[str, dict[int, float]]
"""Name -> step -> number, of what a tracker has of a run."""


class TrackingError(StoreError):
    """Mirroring cannot begin, or a tracker does not take what it is given; the message is one line."""


_NO_NAME = re.compile(r"[^\w.-]+")
SAID = 200
"""Letters of another program's error that are shown; some are a page long."""

_USER = re.compile(r"(?<=://)[^/\s]*@")


def without_secrets(text: str) -> str:
    """The text with the user and password left out of every address in it."""
    return _USER.sub("***@", text)


def in_one_line(error: Exception) -> str:
    """What an error of another program says: its class and first line, or of a server that is gone only why."""
    deepest: BaseException = error
    while inner := deepest.__cause__ or deepest.__context__:
        deepest = inner
    if isinstance(deepest, ConnectionError | TimeoutError | gaierror):
        return f"no answer ({deepest.strerror or deepest})"
    said = without_secrets(f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}")
    return said if len(said) <= SAID else f"{said[:SAID]}…"


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run: `config` is nested plain values; `store` a few letters that name its store."""

    run_id: str
    store: str
    experiment: str
    config: dict[str, Any]

    @property
    def key(self) -> str:
        """The run's name among all stores'."""
        return f"{self.run_id}-{self.store}"

    @property
    def folder(self) -> str:
        """Where files of the run go below a folder that many stores may share: grouped by experiment and store."""
        return f"{_NO_NAME.sub('-', self.experiment)}-{self.store}/{self.run_id}"


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt of a run ended, by the word that the store has for it."""

    attempt: int
    outcome: str


class Tracker(Protocol):
    """One place that runs are mirrored to. Every method may raise whatever its package raises."""

    def named(self, name: str) -> str:
        """The name under which the place keeps one of ours."""

    def begin(self, run: TrackedRun) -> None:
        """Make the run known, or find it, so that it can be sent to."""

    def held(self, run: TrackedRun) -> Held:
        """All numbers that the place has of a run that has begun."""

    def send(self, run: TrackedRun, rows: Sequence[Points]) -> None:
        """Add numbers; on return they are there even if every process dies."""

    def tell(self, run: TrackedRun, end: AttemptEnd) -> None:
        """Say how an attempt ended; saying it again changes nothing."""

    def end(self, run: TrackedRun, outcome: str) -> None:
        """Say that nothing more comes for now; the run may begin again."""

    def close(self) -> None:
        """Let go of everything; runs that have not ended stay open to a later mirror."""
