"""Which settings a set of runs was swept over: those in which their specs differ, less what every table shows anyway.

Specs are plain mappings, as stored beside each run; nothing is read or validated here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SHOWN = frozenset({"seed", "model.size", "model.patch", "model.block", "train.batch", "train.steps", "label"})
"""Settings with a column of their own in every table of runs."""

SHAPE = ("model.width", "model.depth", "model.heads", "config.")
"""What a size, or the label of a run with a trainer of its own, stands for, by how it begins; a sweep only where one
model's name stands for several."""

NAME = ("model.size", "model.patch", "label")
"""What a model's name is made of."""

_NOT_THE_RUN = frozenset({"evaluate", "execution", "imported_from", "run_id", "cost", "metrics"})
"""What says how a run was measured, executed, found or reckoned, and not how it was trained."""


def swept_settings(specs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each spec the settings that are not the same in all, by dotted name as in a `grid`, in the spec's order.

    A run whose spec does not have such a setting has None for it. A list counts as one value.
    """
    flat = [dict(_flat(spec)) for spec in specs]
    own = [bool(spec.get("trainer")) for spec in specs]  # its settings are not ours, so that nothing is compared
    kinds = [[one for one, is_own in zip(flat, own, strict=True) if one and is_own == kind] for kind in (False, True)]
    names = [name for kind in kinds for name in dict.fromkeys(n for one in kind for n in one) if _varies(name, kind)]
    return [{name: one.get(name) for name in dict.fromkeys(names)} for one in flat]


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if not prefix and name in _NOT_THE_RUN:
            continue
        dotted = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(item, Mapping) and item:
            yield from _flat(item, dotted)
        else:
            yield dotted, item


def _varies(name: str, flat: Sequence[Mapping[str, Any]]) -> bool:
    if name in SHOWN:
        return False
    if not name.startswith(SHAPE):
        return len({repr(one.get(name)) for one in flat}) > 1
    values: dict[tuple[Any, ...], set[str]] = {}
    for one in flat:
        values.setdefault(tuple(one.get(part) for part in NAME), set()).add(repr(one.get(name)))
    return any(len(found) > 1 for found in values.values())
