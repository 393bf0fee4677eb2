"""Processes of one host, found, made to show their stacks, and ended with certainty: told by pid and birth.

Ray's own kill asks the process and waits five seconds for one that does not listen; two runs on one accelerator are
the classic bug, so nobody is told that a host is free before its processes are gone. Linux's /proc is read; where
there is none, Ray's word is all there is.
"""

import contextlib
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

Process = tuple[int, int]
"""A pid and its birth; the pair is never used again."""

GONE_WITHIN_S = 10.0
STACKS_WITHIN_S = 2.0
LOOK_S = 0.05


def birth(pid: int) -> int:
    """Return when the process began, in clock ticks since boot; 0 where there is none, or it has ended."""
    fields = _stat(pid)
    return 0 if fields is None or fields[0] in "ZX" else int(fields[19])


def alive(process: Process) -> bool:
    """Return whether this very process, not a later one with its pid, is there."""
    return process[1] != 0 and birth(process[0]) == process[1]


def end(processes: Collection[Process], within_s: float = GONE_WITHIN_S) -> bool:
    """Kill the processes and all that descend from them; return whether all were gone in time."""
    doomed = [process for process in processes if alive(process)]
    doomed += _descendants({pid for pid, _ in doomed})
    for process in doomed:
        if alive(process):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process[0], signal.SIGKILL)
    deadline = time.monotonic() + within_s
    while any(map(alive, doomed)):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)
    return True


def stacks(process: Process, descriptor: int) -> str:
    """Return where every thread of a worker stands, empty if it does not answer (a stopped process cannot).

    The worker has told `faulthandler` to write to the file with that descriptor of its own on SIGUSR1.
    """
    path, text = Path(f"/proc/{process[0]}/fd/{descriptor}"), ""
    if not alive(process) or not path.exists():
        return text
    before = len(path.read_text(errors="replace"))
    os.kill(process[0], signal.SIGUSR1)
    deadline = time.monotonic() + STACKS_WITHIN_S
    while time.monotonic() < deadline:
        time.sleep(LOOK_S)
        now = path.read_text(errors="replace")[before:]
        if now and now == text:
            break
        text = now
    return text


def _descendants(parents: set[int]) -> list[Process]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, look = list[int](), list(parents)
    while look:
        below = children.get(look.pop(), [])
        found += below
        look += below
    return [(pid, birth(pid)) for pid in found]


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat after the command's name: state, parent, …"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
