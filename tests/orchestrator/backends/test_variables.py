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
import resource
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
kept = b"1" * (64 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _has_huge_pages() -> bool:
    name, version = platform.libc_ver()
    new = name == "glibc" and tuple(map(int, version.split("."))) >= (2, 35)
    return new and HUGE.exists() and "[never]" not in HUGE.read_text()


@pytest.mark.skipif(not _has_huge_pages(), reason="needs glibc 2.35 and a kernel that has huge pages to give")
def test_working_memory_is_taken_by_few_page_faults():
    """64 MB are 16,384 pages of 4 kB, and 32 of 2 MB."""
    done = subprocess.run([sys.executable, "-c", TOUCH], env=os.environ | on_cores(1), capture_output=True, text=True)
    assert int(done.stdout) < (64 << 20) / resource.getpagesize() / 8
