"""Why an attempt failed, as one of a few classes that each have a policy, and in words that a person can act on.

Only what the failing process itself can know is here; lost workers and hosts are the orchestrator's to recognise.
"""

import re
import traceback
from typing import Any

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.store import StoreError, SupersededError
from dit_grid.experiments.store.local import reason_of

NAN, OUT_OF_MEMORY, BAD_INPUT, STORAGE, SUPERSEDED, ERROR = FAILURE_CLASSES = (
    "nan",
    "out-of-memory",
    "bad-input",
    "storage",
    "superseded",
    "error",
)
"""What a failing attempt can say of itself; "error" is everything that the code or its user must mend."""


_STATUS = re.compile(
    r"(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION|INVALID_ARGUMENT"
    r"|RESOURCE_EXHAUSTED|DATA_LOSS|UNIMPLEMENTED|OUT_OF_RANGE): "
)
"""How the text of an error of XLA's runtime begins (the canonical codes of absl::Status)."""


class NonFiniteLossError(FloatingPointError):
    """The loss became NaN or infinite; nothing of the window was stored."""


class GangError(RuntimeError):
    """Another process of the run failed, which ends this one too; `failure_class` is the other's."""

    def __init__(self, message: str, failure_class: str) -> None:
        super().__init__(message)
        self.failure_class = failure_class


def classify(error: BaseException) -> str:
    """Return the class of `error`, one of FAILURE_CLASSES."""
    if isinstance(error, GangError):
        return error.failure_class
    if isinstance(error, NonFiniteLossError):
        return NAN
    if isinstance(error, SupersededError):
        return SUPERSEDED
    if isinstance(error, StoreError | OSError):
        return STORAGE
    if isinstance(error, DataError | ValueError) and not _from_the_device(error):
        return BAD_INPUT
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return OUT_OF_MEMORY
    return ERROR


def message_of(error: BaseException) -> str:
    """Return what an error says, after its class; one of a disk, raised outside the store, with the store's words."""
    said = str(error)
    if isinstance(error, OSError) and error.errno:
        said = reason_of(error) + (f": {error.filename}" if error.filename else "")
    return f"{type(error).__name__}: {said}"


def failure_detail(error: BaseException, step: int | None = None) -> dict[str, Any]:
    """Return what the store keeps of a failure: class, message, the step it happened after, and the traceback."""
    text = "".join(traceback.format_exception(error))
    return {
        "class": classify(error),
        "message": message_of(error),
        "step": step,
        "traceback": text,
    }


def _from_the_device(error: BaseException) -> bool:
    """Whether the runtime complains, not our code: its error is a ValueError of its own in some versions, and a plain
    ValueError that begins with a status where the array of a failed step is read."""
    return type(error).__module__.startswith(("jax", "jaxlib")) or _STATUS.match(str(error)) is not None
