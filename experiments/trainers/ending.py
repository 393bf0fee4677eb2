"""How a trainer's process ended, in words and as one of the classes that each have a policy.

Told from its exit status and the end of its standard error: torch and jax say out of memory each in their own words.
"""

import re
import signal
from typing import NamedTuple

from dit_grid.experiments.trainers.torchrun import first_failure
from dit_grid.experiments.training.failures import ERROR, OUT_OF_MEMORY, STORAGE

LOST = "lost"
"""A process that somebody else ended; trying again may well succeed."""

TEMPORARY = 75
"""The exit status that says: try again (EX_TEMPFAIL of sysexits.h)."""

NOT_FOUND = 127

_OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|out of memory|RESOURCE_EXHAUSTED|\bMemoryError\b|can't allocate memory"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|not enough memory|Cannot allocate memory"
    r"|Unable to allocate",
    re.IGNORECASE,
)
"""torch's on CUDA, ROCm, MPS and CPU, jax's, numpy's, CUDA's libraries', the operating system's."""

_RAISED = re.compile(r"^(?:\[rank\d+\]: ?)?([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b.*)", re.MULTILINE)

ENDED_BY_OTHERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

LAST_LINES = 20


class Ending(NamedTuple):
    """The failure's class, one line about it, and the traceback or last words."""

    failure_class: str
    message: str
    words: str


def ending(code: int, errors: str) -> Ending:
    """Return how a process ended that did not end well: by its exit status and what it last wrote as errors.

    Under torchrun the process is that of its ranks which failed first.
    """
    code, errors = first_failure(errors) or (code, errors)
    words = last_words(errors)
    raised = _RAISED.findall(words)
    said = raised[-1].strip() if raised else next(reversed([s for s in words.splitlines() if s.strip()]), "")
    number = code - 128
    if number in set(signal.Signals):
        name = signal.Signals(number).name
        if number in ENDED_BY_OTHERS:
            why = "; a kernel short of memory does that" if number == signal.SIGKILL else ""
            return Ending(LOST, f"the trainer was ended by {name}{why}", words)
        return Ending(ERROR, f"the trainer died of {name}{f': {said}' if said else ''}", words)
    message = f"the trainer exited with status {code}{f': {said}' if said else ' and wrote no error'}"
    if _OUT_OF_MEMORY.search(said if raised else words):
        return Ending(OUT_OF_MEMORY, message, words)
    if code == TEMPORARY:
        return Ending(STORAGE, f"{message} (status {TEMPORARY} asks for another try)", words)
    return Ending(ERROR, message, words)


def last_words(errors: str) -> str:
    """Return the last traceback of a standard error and what follows it, or else its last lines."""
    start = errors.rfind("Traceback (most recent call last)")
    if start >= 0:
        chained = errors.rfind("\nTraceback (most recent call last)", 0, start)
        between = errors[chained:start] if chained >= 0 else ""
        joined = "direct cause of the following" in between or "another exception occurred" in between
        return errors[chained + 1 if joined else start :].strip()
    return "\n".join(errors.strip().splitlines()[-LAST_LINES:])
