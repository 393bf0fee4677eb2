"""What a gang holds: the ground that all gangs stand on, its processes and their place, and how all of it is ended."""

import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import ray
from ray.exceptions import RayError

from dit_grid.experiments.store import Store
from dit_grid.orchestrator.backends.ray.hands import Hands
from dit_grid.orchestrator.backends.ray.local import Host, LocalRay
from dit_grid.orchestrator.backends.ray.placement import free
from dit_grid.orchestrator.backends.ray.watch import ClusterWatch
from dit_grid.orchestrator.backends.worker import Facts
from dit_grid.orchestrator.core.events import Event

LOOK_S = 0.25
AT_A_TIME = 64


@dataclass(frozen=True)
class Ground:
    """What all gangs of a backend stand on."""

    where: str
    prefix: str
    watch: ClusterWatch
    hands: Hands
    emit: Callable[[Event], None]
    local: LocalRay | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    @cached_property
    def store(self) -> Store:
        """Return the store; a launch looks at the cluster before it makes one."""
        return Store.open(self.where)


@dataclass
class Rank:
    """A process of a gang: its actor, who it is once it said so, and whether it is over."""

    actor: Any
    facts: Facts | None = None
    asked: Any = None
    seen: int = -1
    over: bool = False


@dataclass
class Held:
    """The processes of a gang, its placement group on a cluster, or its process of this machine."""

    ranks: list[Rank] = field(default_factory=list)
    group: Any = None
    host: Host | None = None

    def facts(self) -> list[Facts]:
        """Return who the processes are that said so."""
        return [rank.facts for rank in self.ranks if rank.facts is not None]

    def end(self, ground: Ground) -> None:
        """End processes and free what they held; return when both are certain."""
        for rank in self.ranks:
            if rank.actor is not None:
                with contextlib.suppress(RayError):
                    ray.kill(rank.actor)
        with ThreadPoolExecutor(AT_A_TIME) as at_once:
            list(at_once.map(lambda facts: _end_process(ground, facts), self.facts()))
        with contextlib.suppress(RayError):
            free(self.group)
        if self.host is not None and ground.local is not None:
            ground.local.give_back(self.host, usable=False)


def _end_process(ground: Ground, facts: Facts) -> None:
    """End one process for certain, or wait until its host is gone with it."""
    while not ground.hands.end(facts.node, facts.address, [(facts.pid, facts.birth)]):
        if ground.watch.gone([facts.node]):
            return
        time.sleep(LOOK_S)
