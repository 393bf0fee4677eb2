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
from typing import IO, Any, TextIO

from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.trainers import call, launcher
from dit_grid.experiments.trainers.client import ADDRESS
from dit_grid.experiments.training.context import Context

KEPT = 1 << 16
"""Characters of standard error that are kept to tell how it ended."""

LOOK_S = 0.1

ALONE = "127.0.0.1:29500"
"""Where the ranks of one host meet, as torch.distributed has it."""


def command(run: TrainerRun, context: Context | None = None) -> list[str]:
    """Return the command line on this host of the gang, placeholders filled; a function is called by this Python."""
    if run.trainer.function is not None:
        return [sys.executable, "-m", call.__name__, run.trainer.function]
    known: dict[str, Any] = {"python": sys.executable}
    if context is not None:
        address, port = _meeting_place(context)
        known |= {"rank": context.rank, "world": context.world, "address": address, "port": port}
        resources = run.execution.resources
        if resources.slice is None:
            known[resources.kind + "s"] = resources.count // context.world
    return [run.filled(part, **known) for part in run.trainer.command or ()]


def environment(context: Context, line: str) -> dict[str, str]:
    """Return this process's environment with where the run is (`line`), and the gang's as torch.distributed reads it.

    torchrun takes what its command line leaves out from variables that begin with PET_ (torch 2.13); with those of the
    hosts the same command serves one host and many. One host alone is left to its own default, which finds a free port.
    """
    address, port = _meeting_place(context)
    place = {"RANK": context.rank, "WORLD_SIZE": context.world, "MASTER_ADDR": address, "MASTER_PORT": port}
    own = {ADDRESS: line, "LOCAL_RANK": "0", "PYTHONUNBUFFERED": "1"} | place
    if context.world > 1:
        torchrun = {"NNODES": context.world, "NODE_RANK": context.rank, "MASTER_ADDR": address, "MASTER_PORT": port}
        own |= {f"PET_{name}": value for name, value in torchrun.items()}
    return {**os.environ, **{name: str(value) for name, value in own.items()}}


def _meeting_place(context: Context) -> tuple[str, str]:
    """Where rank 0 of the gang listens for the others: host and port."""
    host, _, port = (context.coordinator or ALONE).rpartition(":")
    return host, port


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
