"""Small JSON records of a store, of which any may be damaged: one that is no JSON object is refused in one line."""

import json
from typing import Any, TypeGuard

from dit_grid.experiments.store.errors import DamagedFileError


def json_object(
    name: str, data: bytes | str, remedy: str = "restore it, or move it out of the store"
) -> dict[str, Any]:
    """The object that the file `name` holds. Raises DamagedFileError for bytes that are no JSON, or no object."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        reason = str(error)[:200] if isinstance(error, ValueError) else "it nests too deep"
        raise DamagedFileError(f"{name}: not JSON ({reason}); {remedy}") from error
    if not isinstance(record, dict):
        raise DamagedFileError(f"{name}: a JSON object is expected, got {repr(record)[:80]}; {remedy}")
    return record


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of a record is a number and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)
