"""Fields of a protocol-buffer message by number, for the few that W&B's and TensorBoard's files hold.

The wire format is at https://protobuf.dev/programming-guides/encoding. What a number means is the caller's to know.
"""

import struct
from collections.abc import Iterator
from typing import Any


class WireError(ValueError):
    """The bytes are no such message."""


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field in order: an int, or the bytes of a text, message, float or double.

    Raises WireError where the bytes end too early or are of a kind that nobody writes any more.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise WireError(f"field {number} is of wire type {kind}")
        if at + size > len(data):
            raise WireError(f"field {number} ends after the message")
        yield number, data[at : at + size]
        at += size


def signed(value: int) -> int:
    """A varint as the int64 that it stands for."""
    return value - 2**64 if value >= 2**63 else value


def real(value: bytes) -> float:
    """A float or double by the number of its bytes."""
    return float(struct.unpack("<d" if len(value) == 8 else "<f", value)[0])


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WireError("a number ends after the message")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
