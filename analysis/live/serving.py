"""Serving the page of a store until it is told to stop: the port, the token, and an end that waits for nobody.

What is served is `app`.
"""

import contextlib
import ipaddress
import secrets
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from dit_grid.analysis.live.app import app
from dit_grid.analysis.live.feed import Advice, Feed
from dit_grid.analysis.live.hub import Hub

PORT = 8642
"""Where the page is unless another port is asked for."""


class CannotServeError(ValueError):
    """The page cannot be served there; the message says why and what to do."""


def serve(where: str, host: str, port: int, advice: Advice | None, said: Callable[[str], None]) -> None:
    """Serve the store's page until interrupted; `said` gets its address once it is there.

    Raises CannotServeError where the port cannot be had, and what `Store.open` raises.
    """
    with contextlib.closing(bound(host, port)) as taken:
        feed = Feed(where, advice)
        token = None if is_loopback(host) else secrets.token_urlsafe(24)
        said(address_of(host, taken.getsockname()[1], token))
        _Server(feed, token).run(sockets=[taken])


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there; raises CannotServeError with one line."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        made.listen(64)
        return made
    except OSError as error:
        fix = "--port 0 takes a free one" if not isinstance(error, socket.gaierror) else "give an address of this machine"
        raise CannotServeError(f"cannot listen at {host} port {port} ({error.strerror or error}); {fix}") from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(host: str, port: int, token: str | None) -> str:
    """What to open in a browser; the token is printed here and nowhere else."""
    name = socket.gethostname() if host in ("0.0.0.0", "::", "") else host
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


class _Server(uvicorn.Server):
    """A server that ends open streams when it is told to end, instead of waiting for browsers to hang up."""

    def __init__(self, feed: Feed, token: str | None) -> None:
        self._hub = Hub(feed)
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
