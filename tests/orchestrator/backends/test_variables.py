"""What a run's process starts with reaches the libraries in it."""

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from dit_grid.orchestrator.backends.variables import on_cores

HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TOUCH = """
import resource, threading
def touch():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"1" * (128 << 20)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
for _ in range(2):
    thread = threading.Thread(target=touch)
    thread.start()
    thread.join()
"""


def _has_huge_pages() -> bool:
    name, version = platform.libc_ver()
    new = name == "glibc" and tuple(map(int, version.split("."))) >= (2, 35)
    return new and HUGE.exists() and "[never]" not in HUGE.read_text()


@pytest.mark.skipif(not _has_huge_pages(), reason="needs glibc 2.35 and a kernel that has huge pages to give")
def test_working_memory_is_taken_by_few_page_faults_and_kept():
    """128 MB are 32,768 pages of 4 kB, and 64 of 2 MB; a run works on a thread, and takes them again and again."""
    done = subprocess.run([sys.executable, "-c", TOUCH], env=os.environ | on_cores(1), capture_output=True, text=True)
    first, again = map(int, done.stdout.split())
    assert first < (128 << 20) / resource.getpagesize() / 8
    assert again < 16
