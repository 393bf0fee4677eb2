"""How far a run was mirrored to a tracker: a small durable file, replaced whole after the tracker took rows.

It may be behind what the tracker holds, by what was sent when the mirror was killed, and is never ahead of it.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from dit_grid.experiments.store.points import EVALS_PREFIX, Points


@dataclass
class Cursor:
    """Training rows up to step `train` of `attempt`, and all live ones of earlier attempts; measurements by name and
    step; the outcomes that were told of attempts; `ended` is the last word on the run, empty while it is open."""

    attempt: int = 0
    train: int = -1
    evals: set[str] = field(default_factory=set)
    attempts: dict[str, str] = field(default_factory=dict)
    ended: str = ""

    def covers(self, row: Points) -> bool:
        """Whether the tracker surely has the row."""
        if is_measurement(row):
            return all(_mark(name, row.step) in self.evals for name in row.values)
        return row.attempt < self.attempt or (row.attempt == self.attempt and row.step <= self.train)

    def move(self, rows: list[Points]) -> None:
        """Take note of rows that the tracker has now."""
        for row in rows:
            if is_measurement(row):
                self.evals |= {_mark(name, row.step) for name in row.values}
            elif (row.attempt, row.step) > (self.attempt, self.train):
                self.attempt, self.train = row.attempt, row.step

    @classmethod
    def read(cls, file: Path) -> Self:
        """The cursor in a file; of one that is not there or damaged, that of a run of which nothing was sent."""
        try:
            said = json.loads(file.read_text("utf-8"))
            evals, attempts = set(map(str, said["evals"])), {str(k): str(v) for k, v in said["attempts"].items()}
            return cls(int(said["attempt"]), int(said["train"]), evals, attempts, str(said["ended"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def write(self, file: Path) -> None:
        """Replace the file whole."""
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        with open(new, "w", encoding="utf-8") as opened:
            json.dump(asdict(self) | {"evals": sorted(self.evals)}, opened)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(new, file)


def is_measurement(row: Points) -> bool:
    """Whether it is of the table of evaluations."""
    return next(iter(row.values)).startswith(EVALS_PREFIX)


def _mark(name: str, step: int) -> str:
    return f"{step} {name}"
