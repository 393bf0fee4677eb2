"""TensorBoard as a tracker: a folder of event files for each run, below one for its store, written by tensorboardX.

Each session has a file of its own, which TensorBoard joins. Numbers are float32 there, as TensorBoard's scalars are.
tensorboardX's `SummaryWriter` is passed by: its `flush` does not wait for what was added, and its files of one second
have one name.
"""

import json
import logging
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dit_grid.experiments.store.points import Points
from dit_grid.experiments.tracking.tensorboard_events import CONFIG_TAG, EVENT_FILES, STATE_TAG, events, read_config
from dit_grid.experiments.tracking.tracker import AttemptEnd, Held, TrackedRun

_FORBIDDEN = re.compile(r"[^-/\w.]")


class TensorboardTracker:
    """Runs below one folder."""

    def __init__(self, folder: Path) -> None:
        logging.getLogger("tensorboardX.x2num").setLevel(logging.ERROR)  # a line for every NaN, which is one here too
        self._folder = folder
        self._writers: dict[str, Any] = {}
        self._said: dict[str, set[tuple[str, int, str]]] = {}
        self._homes: dict[str, Path] = {}

    def named(self, name: str) -> str:
        """The name without the characters that TensorBoard refuses."""
        return _FORBIDDEN.sub("_", name).lstrip("/")

    def begin(self, run: TrackedRun) -> None:
        """Open a new file of the run, and say its settings in the first."""
        from tensorboardX.event_file_writer import EventsWriter

        self._close(run)
        home = self._homes[run.key] = self._home(run)
        self._said[run.key] = {
            (tag.split("/")[0], step, value)
            for file in home.glob(EVENT_FILES)
            for step, _, tag, value in events(file)
            if isinstance(value, str)
        }
        home.mkdir(parents=True, exist_ok=True)
        self._writers[run.key] = EventsWriter(str(home / "events"), f".{os.getpid()}-{time.time_ns()}")
        self._say(run, CONFIG_TAG, 0, json.dumps(run.config, sort_keys=True))

    def held(self, run: TrackedRun) -> Held:
        """What the run's event files hold."""
        held: Held = {}
        for file in self._homes[run.key].glob(EVENT_FILES):
            for step, _, tag, value in events(file):
                if isinstance(value, float):
                    held.setdefault(tag, {})[step] = value
        return held

    def send(self, run: TrackedRun, rows: Sequence[Points]) -> None:
        """Write the numbers and put them on the disk."""
        from tensorboardX.summary import scalar

        for row in rows:
            for name, value in row.values.items():
                self._write(run, scalar(self.named(name), value), row.step, row.wall_unix_s)
        self._writers[run.key].flush()

    def tell(self, run: TrackedRun, end: AttemptEnd) -> None:
        """A text at the attempt's number."""
        self._say(run, STATE_TAG, end.attempt, end.outcome)

    def end(self, run: TrackedRun, outcome: str) -> None:
        """Close the file."""
        self._close(run)

    def close(self) -> None:
        """Close all files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _home(self, run: TrackedRun) -> Path:
        """The run's folder; of an older mirror, which told no stores apart, where it is."""
        old = self._folder / run.run_id
        made = run.config.get("created_unix_s")
        said = (
            read_config(value).get("created_unix_s")
            for file in old.glob(EVENT_FILES)
            for _, _, tag, value in events(file)
            if isinstance(value, str) and tag.split("/")[0] == CONFIG_TAG
        )
        return old if made is not None and made in said else self._folder / run.folder

    def _close(self, run: TrackedRun) -> None:
        if writer := self._writers.pop(run.key, None):
            writer.close()

    def _say(self, run: TrackedRun, tag: str, step: int, said: str) -> None:
        from tensorboardX.summary import text

        if (tag, step, said) not in self._said[run.key]:
            self._said[run.key].add((tag, step, said))
            self._write(run, text(tag, said), step, time.time())
            self._writers[run.key].flush()

    def _write(self, run: TrackedRun, summary: Any, step: int, wall_unix_s: float) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._writers[run.key].write_event(Event(wall_time=wall_unix_s, step=step, summary=summary))
