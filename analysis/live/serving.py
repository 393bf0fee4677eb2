"""Serving the page of a store until it is told to stop: the token, and an end that waits for nobody.

What is served is `app`, where it can be is `listening`.
"""

import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn

from dit_grid.analysis.live.app import app
from dit_grid.analysis.live.feed import Advice, Feed
from dit_grid.analysis.live.hub import Hub
from dit_grid.analysis.live.listening import address_of, bound, is_loopback


def serve(where: str, host: str, port: int, advice: Advice | None, said: Callable[[str], None]) -> None:
    """Serve the store's page until interrupted; `said` gets its address once it is there.

    Raises CannotServeError where the port cannot be had, and what `Store.open` raises.
    """
    with contextlib.closing(bound(host, port)) as taken:
        feed = Feed(where, advice)
        token = None if is_loopback(host) else secrets.token_urlsafe(24)
        said(address_of(host, taken.getsockname()[1], token))
        Server(feed, token).run(sockets=[taken])


def serve_beside(where: str, listening: int, advice: Advice | None) -> None:
    """Serve at a socket that whoever started this holds open, by its number, until that one is gone in any way."""
    with socket.socket(fileno=listening) as taken:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        Server(Feed(where, advice), None).run(sockets=[taken])


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


class Server(uvicorn.Server):
    """A server that ends open streams when it is told to end, instead of waiting for browsers to hang up."""

    def __init__(self, feed: Feed, token: str | None) -> None:
        self.feed, self._hub = feed, Hub(feed)
        config = uvicorn.Config(
            app(self._hub, token), log_level="warning", access_log=False, lifespan="off", server_header=False,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        super().__init__(config)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve while the store is watched."""
        async with self._hub.at_work():
            await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End streams and server at the first Ctrl-C."""
        self._hub.close()
        super().handle_exit(sig, frame)
