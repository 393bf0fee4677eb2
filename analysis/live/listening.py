"""Where a page can be served: a port of an address, what a browser calls it, and whether only this machine reaches it.

Nothing is served here, and importing it needs neither the extra nor pandas.
"""

import ipaddress
import socket


class CannotServeError(ValueError):
    """The page cannot be served there; the message says why and what to do."""


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
        fix = (
            "--port 0 takes a free one" if not isinstance(error, socket.gaierror) else "give an address of this machine"
        )
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
