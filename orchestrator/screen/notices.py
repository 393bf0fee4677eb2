"""What long commands say while they work: progress on standard error, and warnings as one line each.

Results go to standard output, so `--json` stays readable whatever is said here.
"""

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import click

from dit_grid.orchestrator.screen.prose import print_text

LINE_EVERY_S = 15.0
"""How often progress is said where there is no terminal to update."""

REDRAW_EVERY_S = 0.2


@contextmanager
def progress(what: str, total: int) -> Iterator["Counter"]:
    """Yield what is told of work done: it shows a line that updates in place, or in a log one now and then."""
    counter = Counter(what, total)
    try:
        yield counter
    finally:
        counter.end()


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print warnings raised inside as `warning: TEXT`, each once, without the line of code."""
    said: set[str] = set()

    def show(message: Warning | str, *_: object) -> None:
        if str(message) not in said:
            said.add(str(message))
            print_text(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


class Counter:
    """How much of `total` is done, and how fast what is new comes."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done, self.new = what, total, 0, 0
        self.live = sys.stderr.isatty()
        self.began = self.said = time.monotonic()

    def skip(self, count: int) -> None:
        """So many were done before, or need not be done."""
        self.done += count

    def add(self, count: int) -> None:
        """So many more are done."""
        self.done += count
        self.new += count
        now = time.monotonic()
        if now - self.said >= (REDRAW_EVERY_S if self.live else LINE_EVERY_S):
            self.said = now
            click.echo(f"\r\x1b[K{self.text(now)}" if self.live else self.text(now), err=True, nl=not self.live)

    def one_more(self) -> None:
        """One more is done of a number that nobody knows: `total` is a guess, which grows."""
        self.total = max(self.total, self.done + 1)
        self.add(1)

    def text(self, now: float) -> str:
        """The line that is shown."""
        rate = self.new / max(now - self.began, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        return f"{self.what}: {self.done:,} of {self.total:,}, {rate:.3g}/s, {_duration(left)} to go"

    def end(self) -> None:
        """Clear the line that updates in place."""
        if self.live and self.new:
            click.echo("\r\x1b[K", err=True, nl=False)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
