"""What a figure was measured on: processor, cores, and the versions of all that took part."""

import contextlib
import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

OURS = ("dit-grid", "jax", "flax", "ray", "numpy")


def described(packages: Iterable[str]) -> dict[str, str]:
    """Processor, cores, Python, and the version of each package that is here, ours first."""
    found = {"processor": _processor(), "cores": str(os.cpu_count()), "python": platform.python_version()}
    installed = packages_distributions()
    for name in dict.fromkeys(name.partition(".")[0] for name in (*OURS, *packages)):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(installed.get(name, [name])[0])
    return found


def _processor() -> str:
    """The processor's own name where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
