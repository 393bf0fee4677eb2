"""What the processes of one run say to each other, so that all do the same: who leads, what it decided, who failed.

Alone, a process talks to nobody and pays nothing. Arrays travel by JAX's own collectives, which are not here.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from dit_grid.experiments.training.failures import GangError, classify, message_of

MESSAGE_BYTES = 2048
"""What one process can say at a time; one size, so that one program carries every message."""

QUOTED_CHARACTERS = 300
"""How much of a failure's message is passed on; the whole of it is in the store."""

T = TypeVar("T")


def leads() -> bool:
    """Whether this is the process that writes to the store and decides."""
    return jax.process_index() == 0


def alone() -> bool:
    """Whether the run has this process only."""
    return jax.process_count() == 1


def exchange(value: Any) -> list[Any]:
    """What each process gave as `value`, in the order of their ranks; JSON values of up to MESSAGE_BYTES.

    Every process must call it, and returns once all have.
    """
    if alone():
        return [value]
    text = json.dumps(value, ensure_ascii=False).encode()
    if len(text) > MESSAGE_BYTES:
        raise ValueError(f"a message of {len(text)} bytes between processes: at most {MESSAGE_BYTES}")
    message = np.frombuffer(text.ljust(MESSAGE_BYTES), np.uint8)
    rows = np.asarray(multihost_utils.process_allgather(message))
    return [json.loads(row.tobytes()) for row in rows]


def by_leader(action: Callable[[], T]) -> T:
    """What `action` returned on the leader, the only process that runs it; a JSON value.

    Raises what it raised there, and GangError with the same words on every other process.
    """
    return _agreed(action if leads() else None)[0]


def by_all(action: Callable[[], T]) -> T:
    """What `action` returned on this process, once it has returned on all.

    Raises what it raised here, or GangError where it failed on another process only. `action` may hold no collective.
    """
    mine: list[T] = []
    _agreed(lambda: mine.append(action()))
    return mine[0]


def anywhere(flag: bool) -> bool:
    """Whether `flag` is true on any process."""
    return any(_agreed(lambda: flag))


def nowhere(error: Exception | None) -> None:
    """Raise `error` if there is one, or GangError where another process came with one."""

    def answer() -> None:
        if error is not None:
            raise error

    _agreed(answer)


def _agreed(action: Callable[[], Any] | None) -> list[Any]:
    """Each process's result of its action, None where it has none; raises on every process if one failed."""
    if alone():
        return [action() if action else None]
    own: Exception | None = None
    said: dict[str, Any] = {"value": None}
    try:
        said["value"] = action() if action else None
    except Exception as error:
        own = error
        said = {"failure": classify(error), "message": message_of(error)[:QUOTED_CHARACTERS]}
    answers = exchange(said)
    if own is not None:
        raise own
    for rank, answer in enumerate(answers):
        if "failure" in answer:
            raise GangError(f"process {rank} of {len(answers)} failed: {answer['message']}", answer["failure"])
    return [answer["value"] for answer in answers]
