"""The process that trains: its command, its environment, its output on the way to the run's log, and its end.

It runs in the spec's folder, in a process group of its own that does not outlive this process (see `launcher`).
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TextIO

from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.trainers import call, launcher
from dit_grid.experiments.trainers.client import ADDRESS
from dit_grid.experiments.training.context import Context

KEPT = 1 << 16
"""Characters of standard error that are kept to tell how it ended."""

LOOK_S = 0.1


def command(run: TrainerRun, rank: int = 0, world: int = 1) -> list[str]:
    """Return the command line, placeholders filled; a function is called by this Python."""
    if run.trainer.function is not None:
        return [sys.executable, "-m", call.__name__, run.trainer.function]
    return [run.filled(part, python=sys.executable, rank=rank, world=world) for part in run.trainer.command or ()]


def environment(context: Context, address: str) -> dict[str, str]:
    """Return this process's environment with where the run is, and the gang's as torch.distributed reads it."""
    host, _, port = (context.coordinator or "127.0.0.1:29500").rpartition(":")
    own = {
        ADDRESS: address, "RANK": str(context.rank), "WORLD_SIZE": str(context.world), "LOCAL_RANK": "0",
        "MASTER_ADDR": host, "MASTER_PORT": port, "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    return {**os.environ, **own}


class Program:
    """A running trainer. Use it as a context manager: leaving it ends the process and all that it started."""

    def __init__(self, line: list[str], folder: str, variables: Mapping[str, str]) -> None:
        reading, self._lifeline = os.pipe()
        launch = [sys.executable, "-I", "-S", str(Path(launcher.__file__).resolve()), str(reading), *line]
        self._process = subprocess.Popen(
            launch, cwd=folder or None, env=dict(variables), pass_fds=(reading,), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(reading)
        self._errors = ""
        # Where output goes is looked up now, on the thread of the run: by and by it may be another run's.
        self._readers = [
            threading.Thread(target=self._copy, args=(pipe, to, keep), daemon=True)
            for pipe, to, keep in (
                (self._process.stdout, sys.stdout, False), (self._process.stderr, sys.stderr, True),
            )
        ]  # fmt: skip
        for reader in self._readers:
            reader.start()

    def wait(self, seconds: float = LOOK_S) -> int | None:
        """Return the exit status, None if it still runs after so long."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """Ask the program and all that it started to end, by SIGTERM."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def errors(self) -> str:
        """Return the end of its standard error, once it has ended."""
        for reader in self._readers:
            reader.join(5.0)
        return self._errors

    def close(self) -> None:
        """Kill it and all that it started, if it still runs."""
        os.close(self._lifeline)
        self._process.wait()
        self.errors()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _copy(self, pipe: IO[bytes], to: TextIO, keep: bool) -> None:
        """Pass on what comes, as it comes."""
        with pipe:
            while data := pipe.read1():  # type: ignore[attr-defined]
                text = data.decode("utf-8", "replace")
                if keep:
                    self._errors = (self._errors + text)[-KEPT:]
                to.write(text)
