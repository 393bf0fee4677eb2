"""Runs of W&B as its folders hold them: the transaction log `run-<id>.wandb` that every run writes, offline or not.

A log is framed as LevelDB's (https://github.com/google/leveldb/blob/main/doc/log_format.md) after seven bytes of head;
each record is a protocol buffer of wandb's `Record`. Reading needs no wandb. A torn end, as of a kill, is the end.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dit_grid.experiments.store import OUTCOMES
from dit_grid.experiments.tracking.foreign_run import ForeignRun, NotATrackerError
from dit_grid.experiments.tracking.protobuf_wire import WireError, fields, signed

_HEAD = b":W&B"
_BLOCK, _FRAME = 32768, 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4

# numbers of fields in wandb/proto/wandb_internal.proto
_HISTORY, _SUMMARY, _CONFIG, _RUN, _EXIT = 2, 3, 5, 17, 18
_UNSAID = "interrupted"
_ITEM_KEY, _ITEM_NESTED, _ITEM_JSON = 1, 2, 16

STEP_NAMES = ("step", "trainer/global_step", "global_step", "_step")
"""Where a row says its step, the first that it has; `_step` counts calls of `log` where nobody gave another."""


def wandb_logs(folder: Path) -> list[Path]:
    """The logs of the runs in a folder: a run's own folder, one of many such, or one with a folder `wandb`."""
    found = (folder.glob(pattern) for pattern in ("run-*.wandb", "*run-*/run-*.wandb", "wandb/*run-*/run-*.wandb"))
    # latest-run is a link to one of them
    return sorted({path.resolve() for paths in found for path in paths}, key=lambda path: (path.parent.name, path.name))


def read_wandb(folder: Path) -> list[ForeignRun]:
    """The runs in a folder; several logs of one id, as resuming leaves them, are one run. Raises NotATrackerError."""
    runs: dict[str, ForeignRun] = {}
    for log in wandb_logs(folder):
        key = log.stem.removeprefix("run-")
        add_log(runs.setdefault(key, ForeignRun(log.parent, key, key)), log)
    return list(runs.values())


def add_log(run: ForeignRun, log: Path) -> None:
    """Add all that a log says to the run."""
    run.outcome = _UNSAID
    try:
        for record in records(log):
            for number, value in fields(record):
                _add(run, number, value)
    except (WireError, ValueError) as error:
        raise NotATrackerError(f"{log}: not a log of W&B that can be read ({error})") from error


def _add(run: ForeignRun, number: int, value: Any) -> None:
    if number == _HISTORY:
        _add_history(run, dict(_items(value, 1)))
    elif number == _CONFIG:
        run.config |= dict(_items(value, 1))
    elif number == _RUN:
        for part, said in fields(value):
            if part == 8:
                run.name = said.decode()
            elif part == 4:
                run.config |= dict(_items(said, 1))
    elif number == _SUMMARY:
        run.outcome = _known(dict(_items(value, 1)).get("state")) or run.outcome
    elif number == _EXIT and not _known(run.outcome):
        run.outcome = "failed" if dict(fields(value)).get(1, 0) else "done"


def _known(state: Any) -> str:
    """A word of the mirror's summary for how the run's last attempt ended; W&B itself has an exit code only."""
    return state if state in OUTCOMES and state != _UNSAID else ""


def _add_history(run: ForeignRun, row: dict[str, Any]) -> None:
    step = next((int(row[name]) for name in STEP_NAMES if _is_number(row.get(name))), None)
    if step is None:
        return
    wall = row.get("_timestamp")
    for name, value in row.items():
        number = _NOT_FINITE.get(value, value) if isinstance(value, str) else value
        if not name.startswith("_") and name not in STEP_NAMES and _is_number(number):
            run.add(step, name, float(number), wall if _is_number(wall) else None)


_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
"""wandb writes these as texts, which JSON has; others wrote words of JavaScript, which Python's reader takes."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _items(data: bytes, which: int) -> Iterator[tuple[str, Any]]:
    """Key and value of the items of a history, config or summary record; nested keys are joined by dots."""
    for number, item in fields(data):
        if number == which:
            parts: dict[int, list[bytes]] = {}
            for part, value in fields(item):
                parts.setdefault(part, []).append(value)
            names = parts.get(_ITEM_NESTED) or parts.get(_ITEM_KEY) or [b""]
            if _ITEM_JSON in parts:
                yield ".".join(name.decode() for name in names), json.loads(parts[_ITEM_JSON][0])


def new_sequences(log: Path, at: int = 0) -> tuple[list[int], int]:
    """`_step` of the history rows after place `at` of a log, and the place after them; 0 is the beginning."""
    found = []
    for end, record in placed_records(log, at):
        at = end
        for number, value in fields(record):
            if number == _HISTORY:
                found += [signed(dict(fields(step)).get(1, 0)) for part, step in fields(value) if part == 2]
    return found, at


def records(log: Path) -> Iterator[bytes]:
    """The records of a log until its end, or the first that is not whole. Raises NotATrackerError for another file."""
    return (record for _, record in placed_records(log))


def placed_records(log: Path, at: int = 0) -> Iterator[tuple[int, bytes]]:
    """Each record after place `at` with the place where it ends."""
    try:
        with open(log, "rb") as file:
            head = file.read(len(_HEAD))
            at = max(at, _FRAME)
            file.seek(at)
            data = file.read()
    except OSError as error:
        raise NotATrackerError(f"{log}: cannot be read ({error.strerror or error})") from error
    if head != _HEAD:
        raise NotATrackerError(f"{log}: not a log of W&B (it does not begin with {_HEAD.decode()})")
    yield from _framed(data, at)


def _framed(data: bytes, begins: int) -> Iterator[tuple[int, bytes]]:
    """Records of `data`, which begins at that place of the file."""
    parts: list[bytes] = []
    at = 0
    while True:
        left = _BLOCK - (begins + at) % _BLOCK
        if left < _FRAME:
            at += left
        if at + _FRAME > len(data):
            return
        checksum, size, kind = struct.unpack_from("<IHB", data, at)
        payload = data[at + _FRAME : at + _FRAME + size]
        if len(payload) < size or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
            return
        if checksum != zlib.crc32(payload, zlib.crc32(bytes([kind]))):
            return
        at += _FRAME + size
        parts = [payload] if kind in (_FULL, _FIRST) else [*parts, payload]
        if kind in (_FULL, _LAST):
            yield begins + at, b"".join(parts)
            parts = []
