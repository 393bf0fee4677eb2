"""What torchrun says of the process that failed first: its exit status, and its own words among those of all ranks.

torchrun itself exits with 1 whatever befell the ranks that it started, and those that lost a sibling speak last. Its
summary names the first (torch 2.13, `torch.distributed.elastic.multiprocessing.errors`).
"""

import re
from typing import NamedTuple

_FIRST = re.compile(
    r"Root Cause \(first observed failure\):\s*\[0\]:.*?\brank\s*:\s*(\d+).*?\bexitcode\s*:\s*(-?\d+)", re.DOTALL
)
_SIGNAL = re.compile(r"^\S*SignalException: Process \d+ got signal: (\d+)", re.MULTILINE)
_OWN_ERROR = "ChildFailedError"
_TOLD = re.compile(r"^(?:[IWE]\d{4} .* torch/distributed/.*|\*+|Setting OMP_NUM_THREADS .*)\n", re.MULTILINE)


class FirstFailure(NamedTuple):
    """The exit status of the process, 128 + the signal that ended it, and what was written to standard error by it."""

    status: int
    errors: str


def first_failure(errors: str) -> FirstFailure | None:
    """Return what failed first under torchrun, by its standard error; None where that was not torchrun's."""
    if found := [*_FIRST.finditer(errors)]:
        rank, status = found[-1][1], int(found[-1][2])
        return FirstFailure(status if status >= 0 else 128 - status, _of_rank(rank, errors) or _before_summary(errors))
    if signals := _SIGNAL.findall(errors):
        return FirstFailure(128 + int(signals[-1]), errors)
    return None


def _of_rank(rank: str, errors: str) -> str:
    """What a rank wrote after it had joined its group: torch puts its number before each line."""
    return "\n".join(re.findall(rf"^\[rank{rank}\]: ?(.*)$", errors, re.MULTILINE))


def _before_summary(errors: str) -> str:
    """What stands before torchrun's own traceback, without what it told of itself; a rank said it."""
    own = errors.rfind("Traceback (most recent call last)", 0, errors.rfind(_OWN_ERROR))
    return _TOLD.sub("", errors[: max(own, 0)])
