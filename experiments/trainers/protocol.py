"""The line between a trainer's process and its run: JSON lines over a Unix socket, as docs/trainers.md describes them.

Any number of the trainer's processes may connect. What messages mean is `recorder`; this only carries them.
"""

import contextlib
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import Any

PROTOCOL = 1


class Line:
    """A socket that processes connect to, each greeted with `facts`; `take` answers what they say.

    Use it as a context manager; the socket lies in a short folder of its own, for such paths hold 107 characters.
    """

    def __init__(self, facts: Mapping[str, Any], take: Callable[[Mapping[str, Any]], Any]) -> None:
        self._facts, self._take = {"protocol": PROTOCOL, **facts}, take
        self._folder = tempfile.TemporaryDirectory(prefix="dg-")
        self.address = os.path.join(self._folder.name, "run")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.address)
        self._listener.listen(128)
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="trainer-line", daemon=True).start()

    @property
    def used(self) -> bool:
        """Whether any process ever connected."""
        return bool(self._connections)

    def ask_to_stop(self) -> None:
        """Tell every process that connected, and those that will, to commit a checkpoint and end."""
        with self._lock:
            self._stopping = True
            for connection in self._connections:
                _send(connection, {"stop": True})

    def drain(self, seconds: float = 30.0) -> None:
        """Wait until all that ended processes had sent is taken."""
        for thread in self._threads:
            thread.join(seconds)

    def close(self) -> None:
        """Close every connection and remove the socket."""
        for connection in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._folder.cleanup()

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            _send(connection, self._facts)
            with self._lock:
                self._connections.append(connection)
                if self._stopping:
                    _send(connection, {"stop": True})
                thread = threading.Thread(target=self._hear, args=(connection,), name="trainer-line", daemon=True)
                self._threads.append(thread)
            thread.start()

    def _hear(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection.makefile("rb") as lines:
            for line in lines:
                reply = self._reply(line)
                if reply is not None:
                    _send(connection, reply)

    def _reply(self, line: bytes) -> dict[str, Any] | None:
        asks = False
        try:
            message = json.loads(line)
            if not isinstance(message, dict):
                raise ValueError(f"a JSON object is expected, got {message!r}")
            asks = message.get("do") in ("folder", "commit")
            answer = self._take(message)
        except Exception as error:  # whatever it is, the trainer is told, and the recorder keeps it
            return {"error" if asks else "refused": str(error)}
        return {"answer": answer} if asks else None


def _send(connection: socket.socket, message: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a process that is gone has nothing to be told
        connection.sendall(json.dumps(message).encode() + b"\n")
