"""A run as another program's tracker keeps it: who it is, its settings, and numbers along steps.

Reading one is `wandb_files`, `mlflow_folders` or `tensorboard_events`; what it is in a store of ours is `imports`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dit_grid.experiments.store import StoreError


class NotATrackerError(StoreError):
    """The path holds no runs of a tracker, or something that is damaged."""


@dataclass
class ForeignRun:
    """`outcome` is done, failed, cancelled or, where nothing says how it ended, interrupted.

    `rows` are by step: numbers under the names that they were logged under.
    """

    source: Path | str
    key: str
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    outcome: str = "interrupted"
    rows: dict[int, dict[str, float]] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)

    def add(self, step: int, name: str, value: float, wall_unix_s: float | None = None) -> None:
        """Keep a number; of two at one step the later."""
        self.rows.setdefault(step, {})[name] = value
        if wall_unix_s:
            self.times[step] = wall_unix_s

    def numbers(self) -> Iterator[tuple[int, str, float]]:
        """(step, name, value) of every number."""
        for step, row in self.rows.items():
            for name, value in row.items():
                yield step, name, value


def flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of every setting in a nested config."""
    if not isinstance(config, dict):
        yield prefix, config
        return
    for key, value in config.items():
        yield from flat(value, f"{prefix}.{key}" if prefix else str(key))
