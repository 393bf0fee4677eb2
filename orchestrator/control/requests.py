"""What people ask of a grid from other terminals: numbered, immutable files in the store that its driver reads.

A request stands until a later one about the same run, so it also binds launches that come after it. How a driver hears
of it is `inbox`; acting on it is the scheduler core's.
"""

import json
import re
import time
import uuid
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dit_grid.experiments.store.errors import DamagedFileError
from dit_grid.experiments.store.files import Files
from dit_grid.experiments.store.json_records import is_number, json_object

CANCEL, PAUSE, RESUME, RETRY = WHATS = ("cancel", "pause", "resume", "retry")

_NAME = re.compile(r"control/request-(\d{8})\.json")


@dataclass(frozen=True)
class Request:
    """One request: `what` is one of WHATS; `number` is its place among all requests of the store."""

    number: int
    what: str
    run_ids: tuple[str, ...]
    unix_s: float


def ask(files: Files, what: str, run_ids: Iterable[str]) -> Request:
    """Record a request and return it. Raises ValueError for an unknown `what`."""
    if what not in WHATS:
        raise ValueError(f"request {what!r}: allowed are {', '.join(WHATS)}")
    ids, now = tuple(run_ids), time.time()
    # The token keeps two people who ask the same at once from taking each other's file for their own.
    body = json.dumps({"what": what, "runs": ids, "unix_s": now, "token": uuid.uuid4().hex}).encode()
    while True:
        number = max(_numbers(files), default=0) + 1
        try:
            files.create(f"control/request-{number:08d}.json", body)
        except FileExistsError:
            continue
        return Request(number, what, ids, now)


def asked(files: Files, after: int = 0) -> list[Request]:
    """Return the requests with a number above `after`, in order.

    One that is damaged is left out, and a warning names it: it must not stop a grid, nor keep anybody from looking.
    """
    numbers = sorted(number for number in _numbers(files) if number > after)
    names = [f"control/request-{number:08d}.json" for number in numbers]
    found = []
    for number, name, body in zip(numbers, names, files.read_many(names), strict=True):
        try:
            found.append(_request(number, name, body))
        except DamagedFileError as error:
            warnings.warn(f"{error}; what it asked for is not done: ask again, and delete it", stacklevel=2)
    return found


def _request(number: int, name: str, body: bytes) -> Request:
    record = json_object(name, body, "it is no request")
    what, runs, unix_s = (record.get(key) for key in ("what", "runs", "unix_s"))
    if what not in WHATS or not isinstance(runs, list) or not all(isinstance(run, str) for run in runs):
        raise DamagedFileError(f"{name}: asks for nothing that is known")
    return Request(number, what, tuple(runs), float(unix_s) if is_number(unix_s) else 0.0)


def standing(requests: Sequence[Request]) -> dict[str, str]:
    """Return run id -> cancel or pause, for runs whose latest request says so."""
    latest = {run_id: request.what for request in requests for run_id in request.run_ids}
    return {run_id: what for run_id, what in latest.items() if what in (CANCEL, PAUSE)}


def _numbers(files: Files) -> list[int]:
    return [int(match[1]) for name in files.walk("control", "request-") if (match := _NAME.fullmatch(name))]
