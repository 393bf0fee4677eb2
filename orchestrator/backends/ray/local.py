"""A Ray of our own on this machine: cores given out one by one, worker processes used again, its death noticed.

It ends with this process; a cluster that outlives its drivers is started with `ray start`.
"""

import atexit
import contextlib
import logging
import os
import secrets
import threading
from dataclasses import dataclass
from typing import Any

import ray

from dit_grid.orchestrator.backends import processes
from dit_grid.orchestrator.backends.ray.services import without_unasked
from dit_grid.orchestrator.control.errors import RequestError

START_TRIES = 4

FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
FOLDER_BYTES = 32

SHUTDOWN_S = 10.0
"""How long Ray may take to end in good order before its processes are killed."""


@dataclass
class Host:
    """A worker process: its actor, the cores it is pinned to, and the variables it was started with."""

    actor: Any
    cores: tuple[int, ...]
    variables: dict[str, str]


class LocalRay:
    """Starts Ray here. `take` and `give_back` are called from the threads of gangs."""

    def __init__(self, namespace: str) -> None:
        cores = _usable_cores()
        _start_ray(len(cores), namespace)
        self._free, self._idle = cores, list[Host]()
        self._one_at_a_time = threading.Lock()
        node: Any = ray._private.worker._global_node  # there is no public way to Ray's processes
        self._ray = {
            kind: [(info.process.pid, processes.birth(info.process.pid)) for info in infos]
            for kind, infos in node.all_processes.items()
        }

    def take(self, count: int, variables: dict[str, str]) -> tuple[Host | None, tuple[int, ...]]:
        """Return an idle process that fits, or None and the cores for a new one; idle ones in its way are ended."""
        with self._one_at_a_time:
            for host in self._idle:
                if host.variables == variables and len(host.cores) == count:
                    self._idle.remove(host)
                    return host, host.cores
            while self._idle:  # none fits; what they hold must be free for the new one
                host = self._idle.pop()
                ray.kill(host.actor)
                self._free += host.cores
            cores = tuple(self._free[:count])
            del self._free[:count]
            return None, cores

    def give_back(self, host: Host, usable: bool) -> None:
        """Take back a process whose run is over, or only its cores if the process is gone."""
        with self._one_at_a_time:
            if usable:
                self._idle.append(host)
            else:
                self._free += host.cores

    def dead(self) -> str:
        """Return which part of Ray died, empty while all is well."""
        for kind in ("raylet", "gcs_server"):
            if not all(map(processes.alive, self._ray.get(kind, []))):
                return kind
        return ""

    def close(self) -> None:
        """End Ray; one that does not end in good order is killed."""
        if self.dead():
            atexit.unregister(ray.shutdown)  # it would wait for what is dead
        else:
            ending = threading.Thread(target=ray.shutdown, daemon=True)
            ending.start()
            ending.join(SHUTDOWN_S)
        for everybody in self._ray.values():
            with contextlib.suppress(OSError):
                processes.end(everybody)


def _start_ray(cores: int, namespace: str) -> None:
    """Start Ray here, whatever other Ray is around. Raises RequestError, one line, if it does not come up.

    It gives its own processes 30 s, which a machine at work may need; then it is tried again.
    """
    root = short_folder()
    _bring_a_token()
    # A process a core, started ahead and never used: those of runs have variables of their own.
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
    for _ in range(START_TRIES):
        try:
            with without_unasked():
                ray.init(
                    address="local",
                    num_cpus=cores,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    namespace=namespace,
                    _temp_dir=f"{root}/ray",
                )
        except Exception as error:  # Ray raises whatever the layer below raised
            ray.shutdown()
            if "timed out during startup" not in str(error):
                raise RequestError(
                    f"Ray did not start on this machine: {_line(error)}; its folder is {root}/ray"
                ) from error
        else:
            return
    raise RequestError(
        f"Ray did not come up on this machine in {START_TRIES} tries of 30 s; is it very busy? Try again when it is "
        f"less so; its logs are in {root}/ray/session_latest/logs"
    )


def short_folder() -> str:
    """Return the first folder for Ray's files that is short enough for its sockets and takes files from this user.

    A socket's path may have 107 characters; Ray's own part takes 71 and more. Raises RequestError if none does.
    """
    wished = [os.environ.get("RAY_TMPDIR"), os.environ.get("TMPDIR"), *FOLDERS]
    for folder in filter(None, wished):
        if os.path.isabs(folder) and len(folder.encode()) <= FOLDER_BYTES and _takes_files(folder):
            return folder.rstrip("/")
    raise RequestError(
        f"Ray needs a folder for its files that can be written and has at most {FOLDER_BYTES} characters; none of "
        f"{', '.join(map(repr, filter(None, wished)))} is one: set RAY_TMPDIR to such a folder"
    )


def _bring_a_token() -> None:
    """Give Ray the token by which its processes know each other where the home takes no files, in which it keeps it."""
    given = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    wanted = os.environ.get("RAY_AUTH_MODE", "token") == "token"
    if wanted and not given and not _takes_files(os.path.expanduser("~"), ".ray"):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _takes_files(folder: str, inside: str = "ray") -> bool:
    below = os.path.join(folder, inside)
    try:
        os.makedirs(below, exist_ok=True)
    except OSError:
        return False
    return os.access(below, os.W_OK | os.X_OK)


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _usable_cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
