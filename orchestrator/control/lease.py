"""Which one process drives a store's grid: a lease in the store, fenced by its number and kept alive by beats.

No clock is compared with another's: whoever waits for the lease judges by how long it has itself seen no new beat, and
the holder stops by itself before anybody can. What a run writes is fenced again by its attempt (`store.attempts`).
"""

import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from dit_grid.experiments.store import StorageError, Store
from dit_grid.experiments.store.files import Files

TTL_S = 30.0
"""After so long without a new beat others may take the lease over; its holder stops acting after two thirds of it."""

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
    """The right to drive one store's grid. `holds` turns false for good once the right is lost or may be."""

    def __init__(
        self, files: Files, number: int, ttl_s: float = TTL_S, clock: Callable[[], float] | None = None,
        claimed_at: float | None = None,
    ) -> None:  # fmt: skip
        self.number, self._files, self._ttl_s, self._clock = number, files, ttl_s, clock or steady_s
        self._renewed = self._clock() if claimed_at is None else claimed_at
        self.note: dict[str, Any] = {}
        """What the next beats say to whoever looks, in JSON; never changed, only replaced."""
        self._noted = self.note
        self._beat = 0
        self._lost = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @property
    def holds(self) -> bool:
        """Return whether this process may still act."""
        if self._clock() - self._renewed > self._ttl_s * 2 / 3:
            self._lost.set()
        return not self._lost.is_set()

    @property
    def note_is_old(self) -> bool:
        """Return whether the note was written, so that a new one would be read."""
        return self._noted is self.note

    def renew(self) -> bool:
        """Write a beat unless a later driver was seen, and return whether the lease is held."""
        if newest_number(self._files) > self.number:
            self._lost.set()
        if not self.holds:
            return False
        began, note = self._clock(), self.note
        self._files.create(f"{_claim(self.number)}.beat-{self._beat:08d}", json.dumps(note).encode())
        self._noted = note
        self._renewed = began  # not the end: the others count from when they see the beat, which is later than both
        if self._beat:
            self._files.delete(f"{_claim(self.number)}.beat-{self._beat - 1:08d}")
        self._beat += 1
        return True

    def end(self, detail: dict[str, Any]) -> None:
        """Say that this driver ended, and how; the next one need not wait."""
        self._stop_keeping()
        if self.holds:
            self._files.create(f"{_claim(self.number)}.end.json", json.dumps(detail, sort_keys=True).encode())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
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
            except (StorageError, FileExistsError):
                continue  # tried again; if it never succeeds, `holds` ends by the clock


@dataclass
class Watcher:
    """Somebody who waits for the lease, or only watches its holder. It keeps when it last saw a new beat."""

    store: Store
    ttl_s: float = TTL_S
    clock: Callable[[], float] = field(default_factory=lambda: steady_s)
    _seen: Held | None = None
    _since: float = 0.0

    def look(self) -> Held | Ended | None:
        """Return who drives now; how the last driver ended; or None if none ever drove or the last one is dead."""
        return self._look()[1]

    def take(self) -> Lease | None:
        """Return the lease if nobody holds it, None while somebody does. Of several takers exactly one gets it."""
        number, driver = self._look()
        if isinstance(driver, Held):
            return None
        began = self.clock()
        try:  # the number after the one that was judged: whoever took it since makes this fail
            self.store.files.create(f"{_claim(number + 1)}.json", json.dumps(_identity(), sort_keys=True).encode())
        except FileExistsError:
            return None
        return Lease(self.store.files, number + 1, self.ttl_s, self.clock, began)

    def _look(self) -> tuple[int, Held | Ended | None]:
        number, ended, beat = _newest(self.store.files)
        if not number:
            return 0, None
        if ended:
            return number, Ended(number, _read(self.store.files, f"{_claim(number)}.end.json"))
        held = Held(number, _read(self.store.files, f"{_claim(number)}.json"), beat)
        if held != self._seen:
            self._seen, self._since = held, self.clock()
        silent = self.clock() - self._since > self.ttl_s
        return number, None if silent or _is_dead(held.holder) else held


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


def _read(files: Files, name: str) -> dict[str, Any]:
    try:
        record = json.loads(files.read(name))
    except (ValueError, FileNotFoundError):
        return {}
    return record if isinstance(record, dict) else {}


def _identity() -> dict[str, Any]:
    """Return what names this process beyond doubt; the token makes any two claims differ."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "boot": _boot_id(), "pid": pid, "started": _started(pid),
            "token": uuid.uuid4().hex}  # fmt: skip


def _is_dead(holder: dict[str, Any]) -> bool:
    """Return whether the holder was a process of this machine that is no more; of others nothing is known."""
    if not holder or holder.get("host") != socket.gethostname() or holder.get("boot") != _boot_id():
        return False
    return holder.get("started") is not None and _started(int(holder["pid"])) != holder["started"]


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
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
