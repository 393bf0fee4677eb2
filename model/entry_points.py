"""What installed packages add by entry point: datasets, metrics, samplers, blocks, backends, each by its name.

Here they are found and loaded; what an object of each kind has to be is said where it is used. Names of dit-grid's own
always win. Nothing is imported until a name is used.
"""

import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

KINDS = ("datasets", "metrics", "samplers", "blocks", "backends")
"""Entry point groups are `dit_grid.` and one of these."""


class EntryPointError(ValueError):
    """An installed package's entry point that cannot be used; the message names the package and what failed."""


def registered(kind: str) -> tuple[str, ...]:
    """The names that installed packages register for a kind, sorted."""
    return tuple(sorted(_found(kind, tuple(sys.path))))


def loaded(kind: str, name: str) -> Any:
    """The object registered by that name.

    Raises EntryPointError where none is, two packages register one, or its import fails.
    """
    points = _found(kind, tuple(sys.path)).get(name, ())
    if not points:
        raise EntryPointError(f"no installed package registers {name!r} in the entry points dit_grid.{kind}")
    values = {point.value for point in points}
    if len(values) > 1:
        named = " and ".join(_package(point) for point in points)
        raise EntryPointError(f"{kind} {name!r} is registered by {named}: uninstall one of them")
    try:
        return points[0].load()
    except Exception as error:  # whatever an installed package does when it is imported
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        where = f"{_package(points[0])} ({points[0].value})"
        raise EntryPointError(f"{kind} {name!r} of {where} cannot be imported: {what}; mend or uninstall it") from error


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unnamed package"


@cache
def _found(kind: str, path: tuple[str, ...]) -> Mapping[str, tuple[EntryPoint, ...]]:
    """Name -> what registers it, on this path; reading every package's metadata takes tens of milliseconds."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=f"dit_grid.{kind}"):
        found[point.name] = (*found.get(point.name, ()), point)
    return found
