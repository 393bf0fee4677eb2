"""Processes of this machine by their session: a launch and all its workers are one."""

import contextlib
import os
import signal
import time
from pathlib import Path


def title(pid):
    """Return what a process calls itself; empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def session(pid):
    """Return the living processes of a session; a launch and all its workers are one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == pid and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found


def signal_to(pid, number):
    """Send a signal; False if there is no such process."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def end_session(pid):
    """End every process of a session for certain."""
    while everybody := session(pid):
        for one in everybody:
            signal_to(one, signal.SIGKILL)
        time.sleep(0.05)
