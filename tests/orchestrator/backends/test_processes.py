"""Processes on a host: gone means gone, stopped ones and children too, and a pid's next owner is never touched."""

import os
import signal
import subprocess
import sys
import time

import pytest

from dit_grid.orchestrator.backends import processes

PARENT = """
import faulthandler, signal, subprocess, sys, time, os
import tempfile
file = tempfile.TemporaryFile("w")
faulthandler.register(signal.SIGUSR1, file, all_threads=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, file.fileno(), flush=True)
def waits_for_a_sibling():
    time.sleep(600)
waits_for_a_sibling()
"""


@pytest.fixture
def family():
    """A process with a child, (pid, birth) of each, and the descriptor of its file for stacks."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child, descriptor = map(int, parent.stdout.readline().split())
    born = child, processes.birth(child)
    yield (parent.pid, processes.birth(parent.pid)), born, descriptor
    parent.kill()
    processes.end([born])
    parent.wait()
    parent.stdout.close()


def test_a_stopped_process_and_its_child_are_gone_when_end_returns(family):
    parent, child, _ = family
    os.kill(parent[0], signal.SIGSTOP)
    assert processes.end([parent])
    assert not processes.alive(parent)
    assert not processes.alive(child)


def test_another_process_with_the_same_pid_is_left_alone(family):
    parent, _, _ = family
    assert processes.end([(parent[0], parent[1] - 1)])
    assert processes.alive(parent)


def test_a_process_shows_where_it_hangs(family):
    parent, _, descriptor = family
    deadline = time.monotonic() + 20
    while "waits_for_a_sibling" not in (text := processes.stacks(parent, descriptor)):
        assert time.monotonic() < deadline, text


def test_a_stopped_process_has_no_stacks_and_keeps_nobody_waiting(family):
    parent, _, descriptor = family
    os.kill(parent[0], signal.SIGSTOP)
    began = time.monotonic()
    assert processes.stacks(parent, descriptor) == ""
    assert time.monotonic() - began < 10
