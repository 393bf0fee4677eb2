"""A folder held open, so that what is written below it lands there or nowhere, wherever it is moved meanwhile.

Libraries that are handed a path make every folder of it that is missing: of a store that went away in mid-run they
would make another. Below an open folder nothing above it can be made. Where there is no /proc the plain path must do.
"""

import contextlib
import fcntl
import os

_FROM = 512
"""The least number of the descriptor: so high that in all processes of a gang it is the same, and so is the path."""


class HeldFolder:
    """An open folder. `number` is of its descriptor, -1 where it could not be held: in a bucket, or without /proc."""

    def __init__(self, folder: str) -> None:
        self.number = -1
        if "://" not in folder and os.path.isdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # seen on network disks: a folder just made that is not there yet
                self.number = _held(folder)

    @property
    def path(self) -> str:
        """What reaches the folder in this process, wherever it lies by now."""
        return f"/proc/self/fd/{self.number}"

    def close(self) -> None:
        """Let go of it."""
        if self.number >= 0:
            os.close(self.number)
            self.number = -1


def _held(folder: str) -> int:
    low = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _FROM)
    finally:
        os.close(low)
