"""Stores to test against: in memory, where every call can be made the last, in a folder, and in an emulated bucket."""

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

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

    def sizes(self, folder: str) -> dict[str, int]:
        return {name: len(self.content[name]) for name in self.walk(folder)}

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

    def delete_folder(self, folder: str) -> None:
        for name in self.walk(folder):
            self.delete(name)


class Emulator:
    """The process of an emulated Google Cloud Storage, seen from a test."""

    def __init__(self, address: str) -> None:
        self.address = address

    def fail(self, *rules: dict) -> None:
        request = urllib.request.Request(f"{self.address}/_faults", json.dumps(rules).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def count(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.address}/_count", timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(scope="session")
def emulator_address() -> Iterator[str]:
    program = Path(__file__).with_name("gcs_emulator.py")
    with subprocess.Popen(
        [sys.executable, str(program), "bucket"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        yield running.stdout.readline().strip()
        running.stdin.close()


@pytest.fixture
def emulator(emulator_address, monkeypatch):
    """Emulator and gcsfs without its waits between tries, which would only make the tests slow."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator_address)
    monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", emulator_address)
    monkeypatch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "none")
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    import gcsfs.retry

    monkeypatch.setattr(gcsfs.retry, "min", lambda *_: 0.01, raising=False)
    emulator = Emulator(emulator_address)
    emulator.fail()
    yield emulator
    emulator.fail()


@pytest.fixture
def memory_files():
    return MemoryFiles


@pytest.fixture
def killed():
    return Killed


@pytest.fixture
def store(tmp_path):
    return Store.create(str(tmp_path / "store"))
