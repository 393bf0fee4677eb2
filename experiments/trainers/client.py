"""The run that this process trains, told by dit-grid: what to train, where to go on from, where numbers go.

One file that needs nothing but Python 3.9: `from dit_grid.experiments import current_run` where dit-grid is installed,
or a copy of it (`dit-grid trainer-client > dit_grid_run.py`, then `from dit_grid_run import current_run`). It speaks
JSON lines over the Unix socket that DIT_GRID_RUN names; docs/trainers.md describes them for other languages.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import select
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

ADDRESS = "DIT_GRID_RUN"
PROTOCOL = 1

LINES = 256
WAIT_S = 0.05
"""Rows are sent together: after so many, or once so long has passed since the last were sent."""

LOOK_S = 0.01
"""How often at most the socket is asked whether a stop was requested."""


class RunError(RuntimeError):
    """What was asked of the run cannot be; the message says what is allowed."""


class NotFiniteError(RunError):
    """A loss or metric became NaN or infinite; the run has been told and ends as that."""


class Run:
    """The run of this process. It connects when first asked; every process of a gang has its own.

    Rows and checkpoints are rank 0's business: elsewhere `log`, `evaluate` and `commit` do nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._pid = 0
        self._socket: socket.socket | None = None
        self._forget()

    def _forget(self) -> None:
        self._facts: dict[str, Any] = {}
        self._lines: list[str] = []
        self._names: tuple[str, ...] = ()
        self._rows: list[tuple[float, ...]] = []
        self._received = b""
        self._answers: list[Any] = []
        self._columns: frozenset[str] = frozenset()
        self._stop = self._catches = self._terminated = False
        self._refused = ""
        self._logged = self._last = -1
        self._steps = 0
        self._since = self._sent = self._looked = 0.0

    @property
    def id(self) -> str:
        """The run's id, e.g. `mlp-3f9c2a41`."""
        return str(self._fact("run"))

    @property
    def config(self) -> dict[str, Any]:
        """The spec's `config:`, as the grid and overrides left it for this run."""
        return dict(self._fact("config"))

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self._fact("seed"))

    @property
    def step(self) -> int:
        """The step to go on from, whose checkpoint is in `checkpoint_folder(step)`; 0 for a fresh start."""
        return int(self._fact("step"))

    @property
    def steps(self) -> int:
        """The last step; a run that ends before it has failed, unless a stop was requested."""
        return int(self._fact("steps"))

    @property
    def log_every(self) -> int:
        """How often the spec would like a row, in steps."""
        return int(self._fact("log_every"))

    @property
    def checkpoint_every(self) -> int:
        """How often the spec would like a checkpoint, in steps."""
        return int(self._fact("checkpoint_every"))

    @property
    def rank(self) -> int:
        """This process's rank: RANK, which torchrun sets for each of its processes and dit-grid for each host."""
        return int(os.environ.get("RANK") or 0)

    @property
    def world(self) -> int:
        """How many processes there are: WORLD_SIZE."""
        return int(os.environ.get("WORLD_SIZE") or 1)

    @property
    def stop_requested(self) -> bool:
        """Whether the run is to write a checkpoint, commit it and end now; also once SIGTERM came."""
        with self._lock:
            self._connected()
            if not self._catches:
                self._catch_sigterm()
            if not self._stop and time.perf_counter() - self._looked > LOOK_S:
                self._receive()
            if self._terminated and not self._stop:
                self._stop = True
                if self.rank == 0:
                    self._add({"do": "stopping"})
            return self._stop

    def log(self, step: int, **values: Any) -> None:
        """Write one row of training: `step` updates are completed, with a loss and other columns of the train table.

        Steps must grow. `steps_per_s` is filled in from the time between rows. NotFiniteError for a NaN.
        """
        now = time.perf_counter()
        with self._lock:
            if self._quiet():
                return
            if type(step) is not int or not self._logged < step <= self._steps:
                step = self._checked(step, self._logged + 1, "log")
            if "steps_per_s" not in values and self._last >= 0 and step > self._last and now > self._since:
                values["steps_per_s"] = (step - self._last) / (now - self._since)
            if (names := tuple(values)) != self._names:
                self._begin_rows(step, names)
            for name, value in values.items():
                if type(value) is not float or value - value != 0.0:
                    values[name] = self._number("log", step, name, value)
            self._logged, self._last, self._since = step, step, now
            self._rows.append((step, *values.values()))
            if len(self._rows) + len(self._lines) >= LINES or now - self._sent > WAIT_S:
                self._send()

    def evaluate(self, step: int, **values: Any) -> None:
        """Write what was measured after `step` updates: metrics by any name, and how (`samples`, `seed`, …)."""
        with self._lock:
            if self._quiet():
                return
            step = self._checked(step, self.step, "evaluate")
            settings = {name: values.pop(name) for name in self._fact("settings") if name in values}
            if not values:
                raise self._error(f"evaluate of step {step}: no metric; give e.g. fid=12.3")
            metrics = {name: self._number("evaluate", step, name, value) for name, value in values.items()}
            self._add({"do": "evaluate", "step": step, "metrics": metrics, "settings": settings})
            self._restart_clock(step)

    def evaluating(self, step: int) -> None:
        """Say that an evaluation begins, which may take long: no new step is expected meanwhile."""
        with self._lock:
            if not self._quiet():
                self._add({"do": "activity", "step": int(step), "activity": "evaluating"})

    def checkpoint_folder(self, step: int) -> Path:
        """The folder for the checkpoint after `step` updates: a new one to fill, or the one to go on from."""
        with self._lock:
            self._connected()
            step = self._checked(step, 0, "checkpoint_folder")
            return Path(str(self._ask({"do": "folder", "step": step})))

    def commit(self, step: int) -> None:
        """Make the checkpoint of `step` count, once every process has written its part: rows first, then the mark.

        When this returns, whatever is killed later, the run goes on from here.
        """
        with self._lock:
            if not self._quiet():
                step = self._checked(step, self.step, "commit")
                self._ask({"do": "commit", "step": step})
                self._restart_clock(step)

    def _restart_clock(self, step: int) -> None:
        """What was done since the last row is no training, so it slows no row's speed."""
        self._last, self._since = max(step, self._logged), time.perf_counter()

    def _quiet(self) -> bool:
        self._connected()
        if self._refused:
            refused, self._refused = self._refused, ""
            raise RunError(refused)
        return self.rank != 0

    def _checked(self, step: Any, least: int, what: str) -> int:
        """The step as a plain number; from `least` to the run's last."""
        number = step.item() if hasattr(step, "item") else step
        if type(number) is not int:
            raise self._error(f"{what}: step {step!r} is no whole number")
        if number > self._steps:
            raise self._error(f"{what}: step {number} is beyond the run's last, {self._steps}")
        if number < least:
            last = f"row {self._logged} was written already" if what == "log" else f"the run goes on from {self.step}"
            raise self._error(f"{what}: step {number} went back; {last}, and steps must grow")
        return number

    def _number(self, what: str, step: int, name: str, value: Any) -> float:
        try:
            if isinstance(value, (str, bytes)):
                raise TypeError("text")
            number = float(value)
        except (TypeError, ValueError):
            raise self._error(f"{what} of step {step}: {name} is {value!r}, not a number") from None
        if not math.isfinite(number):
            message = f"{what} of step {step}: {name} is {number}, not finite"
            self._tell_failure("nan", message)
            raise NotFiniteError(message)
        return number

    def _error(self, message: str) -> RunError:
        self._tell_failure("bad-input", message)
        return RunError(message)

    def _tell_failure(self, kind: str, message: str) -> None:
        if self.rank == 0:
            self._add({"do": "fail", "class": kind, "message": message})

    def _fact(self, name: str) -> Any:
        with self._lock:
            self._connected()
            return self._facts[name]

    def _connected(self) -> None:
        """Connect if this process has not; a forked one must not speak on its parent's line."""
        if self._pid == os.getpid():
            return
        where = os.environ.get(ADDRESS)
        if not where:
            raise RunError(f"{ADDRESS} is not set: no run is under way here; start it with `dit-grid launch SPEC`")
        self._forget()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(where)
        except OSError as error:
            raise RunError(f"{ADDRESS}={where}: no run answers there ({error})") from None
        self._pid = os.getpid()
        self._facts = self._answer()
        if self._facts["protocol"] != PROTOCOL:
            raise RunError(f"dit-grid speaks protocol {self._facts['protocol']}, this file {PROTOCOL}; print it again")
        self._logged, self._steps = self._facts["step"], self._facts["steps"]
        self._last, self._since = self._logged, time.perf_counter()
        self._columns = frozenset(self._facts["columns"])
        atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        if self._pid == os.getpid():
            with contextlib.suppress(RunError):
                self._send()

    def _begin_rows(self, step: int, names: tuple[str, ...]) -> None:
        """From now on rows are of these columns, which a message says once for many of them."""
        for name in names:
            if name not in self._columns:
                known = ", ".join(sorted(self._columns))
                raise self._error(f"log of step {step}: no column {name!r}; it takes {known}, and a metric of your "
                                  f"own goes to evaluate")  # fmt: skip
        self._close_rows()
        self._names = names

    def _close_rows(self) -> None:
        """Make a message of the rows that wait, a list a column."""
        if self._rows:
            columns = dict(zip(("step", *self._names), zip(*self._rows)))  # noqa: B905 - Python 3.9 has no strict
            self._lines.append(json.dumps({"do": "log", **columns}, allow_nan=False))
            self._rows = []

    def _add(self, message: dict[str, Any]) -> None:
        """Send a message, after the rows that wait."""
        self._close_rows()
        try:
            self._lines.append(json.dumps(message, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise self._error(f"{message['do']} of step {message['step']}: {error}") from None
        self._send()

    def _send(self) -> None:
        self._close_rows()
        if not self._lines or self._socket is None:
            return
        data = ("\n".join(self._lines) + "\n").encode()
        self._lines, self._sent = [], time.perf_counter()
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise RunError(f"the run's worker is gone ({error}); what was committed is kept") from None
        self._receive()

    def _ask(self, message: dict[str, Any]) -> Any:
        self._add(message)
        return self._answer()["answer"]

    def _answer(self) -> Any:
        """Wait for the next answer."""
        while not self._answers:
            self._receive(wait=True)
        answer = self._answers.pop(0)
        if "error" in answer:
            raise RunError(answer["error"])
        return answer

    def _receive(self, wait: bool = False) -> None:
        """Take what is there: answers, a request to stop, a row that was refused."""
        self._looked = time.perf_counter()
        while self._socket is not None and (wait or select.select([self._socket], [], [], 0)[0]):
            try:
                data = self._socket.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                raise RunError("the run's worker is gone; what was committed is kept")
            self._received += data
            wait = False
            while b"\n" in self._received:
                line, self._received = self._received.split(b"\n", 1)
                message = json.loads(line)
                if "stop" in message:
                    self._stop = True
                elif "refused" in message:
                    self._refused = message["refused"]
                else:
                    self._answers.append(message)

    def _catch_sigterm(self) -> None:
        """From now on SIGTERM asks for a stop; not where the program has its own way with it."""
        self._catches = True
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, *_: Any) -> None:
        self._terminated = True  # told when the trainer next asks; a handler may come in the middle of anything


current_run = Run()
