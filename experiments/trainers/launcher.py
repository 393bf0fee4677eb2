"""Runs a command so that nothing of it outlives the worker that asked, however that ends.

    python -I -S launcher.py LIFELINE COMMAND ARGUMENT…

LIFELINE is the descriptor of a pipe's reading end. When its other end closes, as it does when its holder is killed, the
command's whole process group is killed. Standard library alone: it starts in milliseconds. Exits as the command did, or
with 128 + the signal that ended it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the command to its end and return its exit status; 127 where there is no such command."""
    lifeline, command = int(sys.argv[1]), sys.argv[2:]
    for number in (signal.SIGINT, signal.SIGHUP):  # of a terminal, meant for whoever drives; a handler is not inherited
        signal.signal(number, lambda *_: None)
    try:
        process = subprocess.Popen(command, start_new_session=True)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    signal.signal(signal.SIGTERM, lambda *_: signal_all(process.pid, signal.SIGTERM))
    threading.Thread(target=end_with, args=(lifeline, process.pid), daemon=True).start()
    code = process.wait()
    signal_all(process.pid, signal.SIGKILL)  # what it left behind
    return code if code >= 0 else 128 - code


def end_with(lifeline: int, group: int) -> None:
    """Kill the group once the pipe's other end is closed."""
    with contextlib.suppress(OSError):
        while os.read(lifeline, 1):
            pass
    signal_all(group, signal.SIGKILL)
    os._exit(128 + signal.SIGKILL)


def signal_all(group: int, number: int) -> None:
    """Send a signal to every process of the group, if any is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main())
