"""Stores to test against: one in memory, whose every call can be made the last, and one in a folder."""

import threading

import pytest

from dit_grid.experiments.store import Store


class Killed(BaseException):
    """The process died here; not an Exception, so no clean-up code of the store can catch it."""


class MemoryFiles:
    """`Files` in a dictionary. With `calls_left`, the process dies at that call: before it, or after it took effect."""

    def __init__(self) -> None:
        self.root = "memory"
        self.content: dict[str, bytes] = {}
        self.calls_left: int | None = None
        self.die_after_effect = False
        self._lock = threading.Lock()

    def _call(self) -> bool:
        """Count a call; True if the process dies after it."""
        if self.calls_left is None:
            return False
        self.calls_left -= 1
        if self.calls_left < 0:
            if not self.die_after_effect:
                raise Killed
            return True
        return False

    def prepare(self) -> None:
        pass

    def create(self, name: str, data: bytes) -> None:
        dies = self._call()
        with self._lock:
            if self.content.setdefault(name, data) != data:
                raise FileExistsError(name)
        if dies:
            raise Killed

    def read(self, name: str) -> bytes:
        if self._call():
            raise Killed
        if name not in self.content:
            raise FileNotFoundError(name)
        return self.content[name]

    def read_many(self, names):
        return [self.read(name) for name in names]

    def walk(self, folder: str, prefix: str = "") -> list[str]:
        if self._call():
            raise Killed
        return [name for name in list(self.content) if name.startswith(f"{folder}/{prefix}")]

    def leftovers(self) -> list[str]:
        return []

    def modified(self, name: str) -> float:
        if name not in self.content:
            raise FileNotFoundError(name)
        return 0.0

    def delete(self, name: str) -> None:
        dies = self._call()
        self.content.pop(name, None)
        if dies:
            raise Killed


@pytest.fixture
def memory_files():
    return MemoryFiles


@pytest.fixture
def killed():
    return Killed


@pytest.fixture
def store(tmp_path):
    return Store.create(str(tmp_path / "store"))
