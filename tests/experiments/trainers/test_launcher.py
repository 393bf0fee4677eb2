"""What a command leaves behind when it, its launcher or its worker ends: nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dit_grid.experiments.trainers import launcher

PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep({seconds})\n"
)


def launched(seconds):
    """The launcher of a command that has a child of its own, the child's pid, and the other end of its lifeline."""
    reading, lifeline = os.pipe()
    line = [sys.executable, "-I", "-S", launcher.__file__, str(reading), sys.executable, "-c", PARENT]
    line[-1] = PARENT.format(seconds=seconds)
    process = subprocess.Popen(line, pass_fds=(reading,), stdout=subprocess.PIPE, text=True)
    os.close(reading)
    return process, int(process.stdout.readline()), lifeline


def is_gone(pid, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_closed_lifeline_ends_the_command_and_its_children():
    process, child, lifeline = launched(60)
    os.close(lifeline)
    assert process.wait(10) == 128 + signal.SIGKILL
    assert is_gone(child)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_a_terminal_sends_is_not_for_it_and_leftovers_end_with_the_command(number):
    process, child, lifeline = launched(1)
    process.send_signal(number)
    assert process.wait(20) == 0
    assert is_gone(child)
    os.close(lifeline)


def test_sigterm_reaches_the_command():
    process, child, lifeline = launched(60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    assert is_gone(child)
    os.close(lifeline)


def test_a_command_that_is_not_there_is_said():
    line = [sys.executable, "-I", "-S", launcher.__file__, "0", "no-such-program"]
    ended = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.PIPE)
    assert (ended.returncode, ended.stderr) == (127, "no-such-program: No such file or directory\n")
