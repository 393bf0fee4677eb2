"""Where the time of a piece of work went, by part: parts that hold a `with` block, and waits for an iterator's next.

Nothing here decides anything; seconds are for reports only.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")


class Stopwatch:
    """Seconds of wall time by part. Parts may nest: time inside an inner part is not the outer one's."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._since = 0.0
        self._began, self._before = time.perf_counter(), 0.0

    @property
    def total(self) -> float:
        """Seconds since it was made, in no part or any, and those of the watch that it goes on from."""
        return self._before + time.perf_counter() - self._began

    def saved(self) -> dict[str, Any]:
        """What `go_on` takes, as JSON values."""
        return {"total": self.total, "parts": self.seconds}

    def go_on(self, saved: dict[str, Any]) -> None:
        """Count on from another watch, whose work is not done again."""
        self._before += saved["total"]
        for name, seconds in saved["parts"].items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of the block as that of `name`."""
        self._credit()
        self._open.append(name)
        try:
            yield
        finally:
            self._credit()
            self._open.pop()

    def timed(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items; the time that each takes to come is that of `name`."""
        iterator = iter(items)
        while True:
            with self.part(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def _credit(self) -> None:
        now = time.perf_counter()
        if self._open:
            name = self._open[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now
