"""Which one process drives a store's grid: a lease in the store, fenced by its number and kept alive by beats.

No clock is compared with another's: whoever waits for the lease judges by how long it has itself seen no new beat, and
the holder stops by itself before anybody can, unless it gets the next number, which then nobody else can. What a run
writes is fenced again by its attempt (`store.attempts`).
"""

import contextlib
import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from dit_grid.experiments.store import StorageError, Store
from dit_grid.experiments.store.files import Files

TTL_S = 20.0
"""After so long without a new beat others may take the lease over; its holder stops acting after two thirds of it.
With the look of a watcher and Ray's start the next driver is at work within half a minute."""

LOST = "lost"
"""The outcome of a driver that stopped because it had not beaten in time: the lease is free, nobody need wait."""

_NAME = re.compile(r"control/driver-(\d{6})(?:\.(end)\.json|\.beat-(\d{8})|\.json)")


@dataclass(frozen=True)
class Held:
    """Another process drives: its number, what it says of itself, and its newest beat (-1 before the first)."""

    number: int
    holder: dict[str, Any]
    beat: int


@dataclass(frozen=True)
class Ended:
    """The latest driver ended by itself and said how."""

    number: int
    detail: dict[str, Any]


class Lease:
    """The right to drive one store's grid. `holds` turns false for good once the right is lost.

    A holder that could not beat in time (it was frozen, its laptop slept) may not go on under its number; it goes on
    under the next one, which it gets only if nobody else has it, and then nobody else has acted in between.
    """

    def __init__(
        self, files: Files, number: int, ttl_s: float = TTL_S, clock: Callable[[], float] | None = None
    ) -> None:
        """Claim `number`. Raises FileExistsError if somebody was faster."""
        self.number, self._files, self._ttl_s, self._clock = number, files, ttl_s, clock or steady_s
        self._one_at_a_time = threading.RLock()
        self._claim_next(number)
        self.trouble: StorageError | None = None
        """Why the last beat could not be written, None if it was."""
        self.note: dict[str, Any] = {}
        """What the next beats say to whoever looks, in JSON; never changed, only replaced."""
        self._noted = self.note
        self._lost = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @property
    def holds(self) -> bool:
        """Return whether this process may still act."""
        with self._one_at_a_time:
            if not self._lost.is_set() and self._clock() - self._renewed > self._ttl_s * 2 / 3:
                self._go_on_under_the_next_number()
            return not self._lost.is_set()

    def _go_on_under_the_next_number(self) -> None:
        try:
            self._claim_next(self.number + 1)
        except FileExistsError:
            self._lost.set()
        except StorageError as error:
            self.trouble = error
            self._lost.set()

    def _claim_next(self, number: int) -> None:
        began, claimed = self._clock(), _identity() | {"ttl_s": self._ttl_s}
        self._files.create(f"{_claim(number)}.json", json.dumps(claimed, sort_keys=True).encode())
        self.number, self.claimed, self._renewed, self._beat = number, claimed, began, 0

    @property
    def note_is_old(self) -> bool:
        """Return whether the note was written, so that a new one would be read."""
        return self._noted is self.note

    def renew(self) -> bool:
        """Write a beat unless a later driver was seen, and return whether the lease is held."""
        with self._one_at_a_time:
            if newest_number(self._files) > self.number:
                self._lost.set()
        if not self.holds:
            return False
        began, note, number, beat = self._clock(), self.note, self.number, self._beat
        name = f"{_claim(number)}.beat-{beat:08d}"
        try:
            self._files.create(name, json.dumps(note).encode())
            self._noted = note
        except StorageError:  # a full disk still takes a name: a beat without a word keeps the lease until it has room
            self._files.create(name, b"")
        with self._one_at_a_time:
            if self.number == number:  # else a slow store took so long that the next number was needed meanwhile
                # From when it began: the others count from when they see the beat, which is later.
                self._renewed, self._beat = began, beat + 1
        if beat:
            self._files.delete(f"{_claim(number)}.beat-{beat - 1:08d}")
        return True

    def end(self, detail: dict[str, Any]) -> None:
        """Say that this driver ended, and how; the next one need not wait. Where it cannot be said, they wait."""
        self._stop_keeping()
        if self.holds:
            self._say(detail)

    def give_up(self) -> None:
        """Say of a lease that was lost that its driver acts no more, so that whoever is next need not wait."""
        self._stop_keeping()
        self._lost.set()
        self._say({"outcome": LOST})

    def _say(self, detail: dict[str, Any]) -> None:
        """Leave the end for whoever looks; no driver's own end is hidden by a store that does not take this one."""
        with contextlib.suppress(StorageError, FileExistsError):
            self._files.create(f"{_claim(self.number)}.end.json", json.dumps(detail, sort_keys=True).encode())

    def __enter__(self) -> Self:
        """Begin to beat; a block within the block changes nothing."""
        if self._thread.ident is None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, Exception):  # those who watch are told; after an interrupt they see a dead process
            self.end({"outcome": "failed", "message": f"{type(error).__name__}: {error}"})
        self._stop_keeping()

    def _stop_keeping(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        while not self._closing.wait(self._ttl_s / 6):
            try:
                if not self.renew():
                    return
                self.trouble = None
            except FileExistsError:
                self._beat += 1  # an answer was lost, and the note has changed since
            except StorageError as error:
                self.trouble = error  # tried again; if it never succeeds, `holds` ends by the clock


@dataclass
class Watcher:
    """Somebody who waits for the lease, or only watches its holder. It keeps when it last saw a new beat."""

    store: Store
    ttl_s: float = TTL_S
    clock: Callable[[], float] = field(default_factory=lambda: steady_s)
    _seen: Held | None = None
    _since: float = 0.0
    _own: Lease | None = None

    def look(self) -> Held | Ended | None:
        """Return who drives now; how the last driver ended; or None if none ever drove, or the last is dead or silent.

        Silence is judged from what this very watcher saw, so the one that judged it is the one to take over.
        """
        return self._look()[1]

    def take(self) -> Lease | None:
        """Return the lease if nobody holds it, None while somebody does. Of several takers exactly one gets it."""
        number, driver = self._look()
        if isinstance(driver, Held):
            return None
        try:  # the number after the one that was judged: whoever took it since makes this fail
            self._own = Lease(self.store.files, number + 1, self.ttl_s, self.clock)
        except FileExistsError:
            return None
        return self._own

    def _look(self) -> tuple[int, Held | Ended | None]:
        at = self.clock()  # before the store is read: time that passes while this process is frozen is not silence
        number, ended, beat = _newest(self.store.files)
        if not number:
            return 0, None
        if ended:
            said = Ended(number, _read(self.store.files, f"{_claim(number)}.end.json"))
            return number, None if said.detail.get("outcome") == LOST else said
        held = Held(number, _read(self.store.files, f"{_claim(number)}.json"), beat)
        if held != self._seen:
            self._seen, self._since = held, self.clock()
        silent = at - self._since > _ttl_s(held.holder, self.ttl_s)
        return number, None if silent or _is_dead(held.holder) or self._gave_up(held.holder) else held

    def _gave_up(self, holder: dict[str, Any]) -> bool:
        """Whether the holder is this process itself, which drives no more: it must not wait for itself."""
        return self._own is not None and self._own.claimed == holder and not self._own.holds


def newest_note(files: Files) -> dict[str, Any]:
    """Return the last word of the latest driver: what its newest beat says, or its end."""
    number, ended, beat = _newest(files)
    if ended:
        return _read(files, f"{_claim(number)}.end.json")
    return _read(files, f"{_claim(number)}.beat-{beat:08d}") if beat >= 0 else {}


def newest_number(files: Files) -> int:
    """Return the number of the latest driver, 0 if there never was one."""
    return _newest(files)[0]


def steady_s() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, where there is one."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def _newest(files: Files) -> tuple[int, bool, int]:
    """Return the latest driver's number, whether it ended, and its newest beat."""
    found = [match for name in files.walk("control", "driver-") if (match := _NAME.fullmatch(name))]
    number = max((int(match[1]) for match in found), default=0)
    own = [match for match in found if int(match[1]) == number]
    return number, any(match[2] for match in own), max((int(match[3]) for match in own if match[3]), default=-1)


def _claim(number: int) -> str:
    return f"control/driver-{number:06d}"


def _ttl_s(holder: dict[str, Any], default_s: float) -> float:
    """Return how long the holder may be silent, as it said itself when it took the lease."""
    said = holder.get("ttl_s")
    return float(said) if isinstance(said, int | float) and 0 < said < float("inf") else default_s


def _read(files: Files, name: str) -> dict[str, Any]:
    try:
        record = json.loads(files.read(name))
    except (ValueError, FileNotFoundError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _identity() -> dict[str, Any]:
    """Return what names this process beyond doubt; the token makes any two claims differ."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "boot": _boot_id(), "pids": _pid_namespace(), "pid": pid,
            "started": _started(pid), "token": uuid.uuid4().hex}  # fmt: skip


def _is_dead(holder: dict[str, Any]) -> bool:
    """Return whether the holder was a process of this machine that is no more; of others nothing is known."""
    if not holder or holder.get("host") != socket.gethostname() or holder.get("boot") != _boot_id():
        return False
    if holder.get("pids", _pid_namespace()) != _pid_namespace():
        return False  # a container's pids are its own
    pid, started = holder.get("pid"), holder.get("started")
    if not isinstance(pid, int) or not 0 < pid < 2**31:  # a damaged claim: its holder is judged by its silence
        return False
    return started is not None and _started(pid) != started


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return when the process began, in the kernel's ticks; None if there is no such process or it is a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
