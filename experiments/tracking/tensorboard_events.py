"""Scalars of TensorBoard's event files, of whoever wrote them: TensorFlow, torch or tensorboardX.

A file is of TFRecords (length, checksum, data, checksum); each is a protocol buffer of TensorFlow's `Event`. Reading
needs neither of these programs. A torn end, as a kill leaves it, is the end. Text is read only where it is our config.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dit_grid.experiments.tracking.foreign_run import ForeignRun, NotATrackerError
from dit_grid.experiments.tracking.protobuf_wire import WireError, fields, real, signed

EVENT_FILES = "*tfevents*"
CONFIG_TAG, STATE_TAG = "config", "state"

# numbers of fields in tensorflow's event.proto, summary.proto and tensor.proto
_WALL, _STEP, _SUMMARY = 1, 2, 5
_VALUE_TAG, _VALUE_SIMPLE, _VALUE_TENSOR = 1, 2, 8
_TYPE_FLOAT, _TYPE_DOUBLE, _TYPE_STRING = 1, 2, 7


def read_tensorboard(folder: Path) -> list[ForeignRun]:
    """A run for every folder with event files at or below `folder`. Raises NotATrackerError for a damaged file."""
    homes = sorted({file.parent for file in folder.rglob(EVENT_FILES)})
    return [_run(folder, home) for home in homes]


def _run(root: Path, home: Path) -> ForeignRun:
    name = home.relative_to(root).as_posix()
    run = ForeignRun(home, name, home.name if name == "." else name)
    for file in sorted(home.glob(EVENT_FILES)):
        for step, wall, tag, value in events(file):
            if isinstance(value, float):
                run.add(step, tag, value, wall)
            elif tag.split("/")[0] == CONFIG_TAG:
                run.config |= read_config(value)
            elif tag.split("/")[0] == STATE_TAG:
                run.outcome = value.split()[0] if value.split() else run.outcome
    return run


def read_config(text: str) -> dict[str, Any]:
    """A config that the mirror wrote; anything else under that tag is somebody's text."""
    try:
        found = json.loads(text.strip())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def events(file: Path) -> Iterator[tuple[int, float, str, float | str]]:
    """(step, time, tag, number or text) of every value that is one, as far as the file is whole."""
    try:
        for record in _records(file):
            step, wall, summaries = 0, 0.0, []
            for number, value in fields(record):
                if number == _WALL:
                    wall = real(value)
                elif number == _STEP:
                    step = signed(value)
                elif number == _SUMMARY:
                    summaries.append(value)
            for summary in summaries:
                for _, value in fields(summary):
                    tag, found = _value(value)
                    if found is not None:
                        yield step, wall, tag, found
    except (WireError, struct.error, TypeError, UnicodeDecodeError) as error:
        raise NotATrackerError(f"{file}: not an event file that can be read ({error})") from error
    except OSError as error:
        raise NotATrackerError(f"{file}: cannot be read ({error.strerror or error})") from error


def _value(data: bytes) -> tuple[str, float | str | None]:
    tag = ""
    found: float | str | None = None
    for number, value in fields(data):
        if number == _VALUE_TAG:
            tag = value.decode()
        elif number == _VALUE_SIMPLE:
            found = real(value)
        elif number == _VALUE_TENSOR:
            found = _scalar(value)
    return tag, found


def _scalar(tensor: bytes) -> float | str | None:
    """The one number or text of a tensor; None of any other."""
    parts: dict[int, Any] = dict(fields(tensor))
    kind, content = parts.get(1), parts.get(4, b"")
    if kind == _TYPE_STRING:
        text = parts.get(8)
        return text.decode("utf-8", "replace") if isinstance(text, bytes) else None
    if kind not in (_TYPE_FLOAT, _TYPE_DOUBLE):
        return None
    size, packed = (4, 5) if kind == _TYPE_FLOAT else (8, 6)
    raw = content or parts.get(packed, b"")
    return real(raw) if len(raw) == size else None


def _records(file: Path) -> Iterator[bytes]:
    with open(file, "rb") as opened:
        while len(head := opened.read(12)) == 12:
            (size,) = struct.unpack("<Q", head[:8])
            if size > file.stat().st_size:
                return
            data = opened.read(size)
            if len(data) < size or len(opened.read(4)) < 4:
                return
            yield data
