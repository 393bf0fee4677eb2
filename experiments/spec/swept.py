"""Which settings a set of runs was swept over: those in which their specs differ, less what every table shows anyway.

Specs are plain mappings, as stored beside each run; nothing is read or validated here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SHOWN = frozenset({"seed", "model.size", "model.patch", "model.block", "train.batch", "train.steps"})
"""Settings with a column of their own in every table of runs."""

SHAPE = ("model.width", "model.depth", "model.heads")
"""What a size stands for; a sweep only where one model's name stands for several."""

_NOT_THE_RUN = frozenset({"evaluate", "execution", "imported_from", "run_id"})
"""What says how a run was measured, executed or found, and not how it was trained."""

_OWN_READS = ("cost.", "metrics.")
"""How settings begin that say what a run of one's own trainer costs and how its metrics read."""


def swept_settings(specs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each spec the settings that are not the same in all, by dotted name as in a `grid`, in the spec's order.

    A run whose spec does not have such a setting has None for it. A list counts as one value.
    """
    flat = [dict(_flat(spec)) for spec in specs]
    # A run made elsewhere says nothing of its settings.
    kinds = [(one, bool(spec.get("trainer"))) for one, spec in zip(flat, specs, strict=True) if one]
    own = [_without(one, _OWN_READS) for one, is_own in kinds if is_own]  # each kind is compared with its like
    ours = [one for one, is_own in kinds if not is_own]
    names = [*_varied(ours, SHAPE, ("model.size", "model.patch")), *_varied(own, ("config.",), ("label",))]
    return [{name: one.get(name) for name in dict.fromkeys(names)} for one in flat]


def told_apart(specs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each spec what tells it from others of one name, where no column shows seeds: swept settings, and its seed."""
    seeds = {spec.get("seed") for spec in specs if spec}
    swept = swept_settings(specs)
    if len(seeds) < 2:
        return swept
    return [one | {"seed": spec.get("seed")} for one, spec in zip(swept, specs, strict=True)]


def _without(flat: Mapping[str, Any], left_out: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in flat.items() if not name.startswith(left_out)}


def _varied(flat: Sequence[Mapping[str, Any]], shape: tuple[str, ...], called: tuple[str, ...]) -> Iterator[str]:
    """The names that are swept; those that begin like `shape` stand for what a model is called, see SHAPE."""
    for name in dict.fromkeys(name for one in flat for name in one):
        within = called if name.startswith(shape) else ()
        if name not in SHOWN and name not in called and _varies(name, flat, within):
            yield name


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if not prefix and name in _NOT_THE_RUN:
            continue
        dotted = f"{prefix}.{name}" if prefix else str(name)
        if item and (type(item) is dict or isinstance(item, Mapping)):  # of ten thousand specs the latter takes seconds
            yield from _flat(item, dotted)
        else:
            yield dotted, item


def _varies(name: str, flat: Sequence[Mapping[str, Any]], within: tuple[str, ...]) -> bool:
    """Whether the setting has several values among specs that are equal in `within`."""
    values: dict[tuple[Any, ...], set[str]] = {}
    for one in flat:
        values.setdefault(tuple(one.get(part) for part in within), set()).add(repr(one.get(name)))
    return any(len(found) > 1 for found in values.values())
