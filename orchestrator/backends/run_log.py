"""A run's log as its process writes it: one file a run, attempt and rank; reading it is `logs`'.

In a folder the file grows line by line; a bucket cannot append, so there it is pieces, one every PIECE_S.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from dit_grid.experiments.store import Store, StoreError, StorePaths
from dit_grid.experiments.training.context import Progress

PIECE_S = 30.0


class RunLog:
    """One rank's log: a line for each report, and whatever is printed. Lines wait until the attempt has a number."""

    def __init__(self, store: Store, run_id: str, rank: int = 0) -> None:
        self.store, self.run_id, self.rank = store, run_id, rank
        self._waiting: list[str] = []
        self._attempt: int | None = None
        self._pieces = 0
        self._written = time.monotonic()
        self._one_at_a_time = threading.RLock()

    def progress(self, progress: Progress) -> None:
        """Write a line about `progress`."""
        self.begin(progress.attempt)
        facts = [f"loss {progress.loss:.4f}"] if progress.loss is not None else []
        facts += [f"{progress.steps_per_s:.1f} it/s"] if progress.steps_per_s else []
        facts += [f"{name} {value:.4g}" for name, value in progress.metrics.items()]
        self.line(f"step {progress.step}/{progress.steps} {progress.activity} {', '.join(facts)}".rstrip())

    def begin(self, attempt: int) -> None:
        """Give the log its attempt's number, by which its file is named; the first one stays."""
        with self._one_at_a_time:
            if self._attempt is None:
                self._attempt = attempt
                self.flush()

    def line(self, text: str) -> None:
        """Write one line with the time before it."""
        self.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def write(self, text: str) -> int:
        """Write text as it is; the log serves as standard output and error of the run."""
        with self._one_at_a_time:
            self._waiting.append(text)
            if not self._in_a_bucket or time.monotonic() - self._written > PIECE_S:
                self.flush()
        return len(text)

    def flush(self) -> None:
        """Bring what waits into the store, if the attempt has its number."""
        with self._one_at_a_time:
            if self._attempt is None or not self._waiting:
                return
            text, self._waiting = "".join(self._waiting), []
            try:
                (self._add_piece if self._in_a_bucket else self._append)(self._attempt, text)
            except (StoreError, OSError):  # no run ends for its log; what could not be written waits for the next time
                self._waiting = [text]
            self._written = time.monotonic()

    def close(self) -> None:
        """Write what still waits; where the attempt never got a number, under the newest attempt."""
        if self._attempt is None and self._waiting:
            records = self.store.attempts(self.run_id)
            self.begin(records[-1].attempt.number if records else 0)
        self.flush()

    @contextlib.contextmanager
    def capturing(self) -> Iterator[None]:
        """Send standard output and error to this log meanwhile."""
        with contextlib.redirect_stdout(self), contextlib.redirect_stderr(self):
            yield

    @property
    def _in_a_bucket(self) -> bool:
        return "://" in self.store.paths.root

    def _append(self, attempt: int, text: str) -> None:
        name = StorePaths.log(self.run_id, attempt, self.rank)
        self.store.files.make_folder(name.rpartition("/")[0])
        path = Path(self.store.paths.full(name))
        with path.open("a", encoding="utf-8") as file:
            file.write(text)

    def _add_piece(self, attempt: int, text: str) -> None:
        while True:  # a name that is taken is of a piece whose writing was told as failed and was not
            self._pieces += 1
            try:
                self.store.files.create(
                    StorePaths.log_piece(self.run_id, attempt, self._pieces, self.rank), text.encode()
                )
            except FileExistsError:
                continue
            return
