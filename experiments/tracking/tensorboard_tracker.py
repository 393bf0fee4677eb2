"""TensorBoard as a tracker: a folder of event files for each run, written by tensorboardX.

Each mirror has a file of its own, which TensorBoard joins. Numbers are float32 there, as TensorBoard's scalars are.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dit_grid.experiments.store.points import Points
from dit_grid.experiments.tracking.tensorboard_events import CONFIG_TAG, EVENT_FILES, STATE_TAG, events
from dit_grid.experiments.tracking.tracker import AttemptEnd, Held, TrackedRun

_FORBIDDEN = re.compile(r"[^-/\w.]")


class TensorboardTracker:
    """Runs below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, Any] = {}
        self._said: dict[str, set[tuple[str, int, str]]] = {}

    def named(self, name: str) -> str:
        """The name without the characters that TensorBoard refuses."""
        return _FORBIDDEN.sub("_", name).lstrip("/")

    def begin(self, run: TrackedRun) -> None:
        """Open a new file of the run, and say its settings in the first."""
        from tensorboardX import SummaryWriter

        said = {(tag.split("/")[0], step, text) for step, text, tag in self._texts(run)}
        self._said[run.key] = said
        self._writers[run.key] = SummaryWriter(str(self._folder / run.run_id), flush_secs=3600)
        self._text(run, CONFIG_TAG, 0, json.dumps(run.config, sort_keys=True))

    def held(self, run: TrackedRun) -> Held:
        """What the run's event files hold."""
        held: Held = {}
        for file in self._files(run):
            for step, _, tag, value in events(file):
                if isinstance(value, float):
                    held.setdefault(tag, {})[step] = value
        return held

    def send(self, run: TrackedRun, rows: Sequence[Points]) -> None:
        """Write the numbers and put them on the disk."""
        writer = self._writers[run.key]
        for row in rows:
            for name, value in row.values.items():
                writer.add_scalar(self.named(name), value, row.step, walltime=row.wall_unix_s)
        self._sync(run)

    def tell(self, run: TrackedRun, end: AttemptEnd) -> None:
        """A text at the attempt's number."""
        self._text(run, STATE_TAG, end.attempt, end.outcome)

    def end(self, run: TrackedRun, outcome: str) -> None:
        """Close the file."""
        self._writers.pop(run.key).close()

    def close(self) -> None:
        """Close all files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _text(self, run: TrackedRun, tag: str, step: int, text: str) -> None:
        if (tag, step, text) not in self._said[run.key]:
            self._said[run.key].add((tag, step, text))
            self._writers[run.key].add_text(tag, text, step)
            self._sync(run)

    def _sync(self, run: TrackedRun) -> None:
        self._writers[run.key].flush()
        for file in self._files(run)[-1:]:
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    def _files(self, run: TrackedRun) -> list[Path]:
        return sorted((self._folder / run.run_id).glob(EVENT_FILES))

    def _texts(self, run: TrackedRun) -> list[tuple[int, str, str]]:
        found = [event for file in self._files(run) for event in events(file)]
        return [(step, value, tag) for step, _, tag, value in found if isinstance(value, str)]
