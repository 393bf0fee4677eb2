"""Ctrl-C as a wish: work that saves itself at its next safe point, and says so."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals(heard: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into a wish that the loop asks for; the second raises KeyboardInterrupt.

    `heard` is called once, at the first.
    Signals reach only the main thread; a controller drives from another, and is stopped by a request in the store.
    """
    asked = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        heard()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
