"""What a figure was measured on: processor, cores, and the versions of all that took part."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

OURS = ("dit-grid", "jax", "flax", "ray", "numpy")


def described(packages: Iterable[str]) -> dict[str, str]:
    """Processor, cores, Python, and the version of each package that is here, ours first."""
    found = {"processor": _processor(), "cores": str(os.cpu_count()), "python": platform.python_version()}
    for name in (*OURS, *packages):
        try:
            found[name] = version(name.partition(".")[0])
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """The processor's own name where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
