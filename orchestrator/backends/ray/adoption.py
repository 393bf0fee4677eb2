"""Gangs that an earlier driver left alive, found by the names of their actors, and what it left half done, freed.

Actor names hold the gang, rank, world and slice, so nothing else needs to be kept anywhere.
"""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group_table, remove_placement_group

from dit_grid.orchestrator.backends.ray.held import Rank
from dit_grid.orchestrator.core.events import Gang

ANSWER_S = 5.0
"""How long processes have to say who they are; a hung one is adopted all the same, and the watchdog's to judge."""


@dataclass(frozen=True)
class Found:
    """A gang that is there: its ranks in order, without an actor where one is gone, its slice and its group."""

    gang: Gang
    ranks: list[Rank]
    slice: str | None
    group: Any


def found(prefix: str, run_ids: Collection[str]) -> list[Found]:
    """Return the gangs of these runs; of several starts of a run only the newest lives on, the others are ended."""
    names: dict[Gang, dict[int, tuple[str, int, str]]] = {}
    for name in ray.util.list_named_actors():
        run_id, start, rank, world, on = (*name.split("/"), *[""] * 5)[:5]
        if run_id in run_ids and world:
            names.setdefault(Gang(run_id, int(start)), {})[int(rank)] = (name, int(world), on)
    newest = {run_id: max(gang.start for gang in names if gang.run_id == run_id) for run_id, _ in names}
    groups = _groups(prefix)
    kept: list[Found] = []
    for gang, members in names.items():
        one = _gang(gang, members, groups)
        if gang.start == newest[gang.run_id]:
            kept.append(one)
        else:
            _end(one)
    remove_unused(prefix)
    return kept


def remove_unused(prefix: str) -> None:
    """Free the store's reservations that no process stands on, of runs that are done too: their driver died in between.

    Only for the store's one driver, while it brings no gang up.
    """
    standing = {"/".join(name.split("/")[:2]) for name in ray.util.list_named_actors()}
    for name, group in _groups(prefix).items():
        if name not in standing:
            remove_placement_group(group)


def _gang(gang: Gang, members: dict[int, tuple[str, int, str]], groups: dict[str, Any]) -> Found:
    _, world, on = next(iter(members.values()))
    ranks = [Rank(_actor(members[number][0]) if number in members else None) for number in range(world)]
    asked = {rank.actor.facts.remote(): rank for rank in ranks if rank.actor is not None}
    for reference in ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S)[0] if asked else ():
        with contextlib.suppress(RayError):  # dead: its status will say so
            asked[reference].facts = ray.get(reference)
    return Found(gang, ranks, None if on == "-" else on, groups.get(f"{gang.run_id}/{gang.start}"))


def _actor(name: str) -> Any:
    try:
        return ray.get_actor(name)
    except ValueError:  # it died in this moment
        return None


def _groups(prefix: str) -> dict[str, Any]:
    """Return the placement groups of this store's gangs by `run/start`, alive ones only."""
    named = {}
    for entry in placement_group_table().values():
        name = str(entry["name"])
        if name.startswith(f"{prefix}/") and entry["state"] != "REMOVED":
            with contextlib.suppress(ValueError):
                named[name.removeprefix(f"{prefix}/")] = ray.util.get_placement_group(name)
    return named


def _end(gang: Found) -> None:
    for rank in gang.ranks:
        if rank.actor is not None:
            with contextlib.suppress(RayError):
                ray.kill(rank.actor)
    if gang.group is not None:
        remove_placement_group(gang.group)
