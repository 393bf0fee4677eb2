"""Hands on the hosts: what must be done to processes there, done by this process where it shares the host, else by an
actor of ours.

An actor is started once a host, when the first gang comes up there, and holds no resources.
"""

import threading
from collections.abc import Collection

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dit_grid.orchestrator.backends import processes
from dit_grid.orchestrator.backends.processes import Process
from dit_grid.orchestrator.backends.worker import Facts

ASK_S = 15.0
"""How long a host may take to do it; it kills within 10 s."""


class _Hand:
    """The actor: `processes` on another host."""

    def end(self, doomed: list[Process]) -> bool:
        return processes.end(doomed)

    def stacks(self, facts: Facts) -> str:
        return processes.stacks((facts.pid, facts.birth), facts.stacks)


class Hands:
    """What this driver can do to processes on the cluster's hosts."""

    def __init__(self) -> None:
        self._here = ray.util.get_node_ip_address()
        self._actors: dict[str, object] = {}
        self._one_at_a_time = threading.Lock()

    def ready(self, node_id: str, address: str) -> None:
        """Begin to bring up what is needed on that host; returns at once."""
        if address != self._here:
            self._actor(node_id)

    def end(self, node_id: str, address: str, doomed: Collection[Process]) -> bool:
        """Kill the processes there; return whether they are known to be gone."""
        if address == self._here:
            return _Hand().end(list(doomed))
        return bool(self._ask(node_id, "end", list(doomed)))

    def stacks(self, facts: Facts) -> str:
        """Return the stacks of a worker; empty if nobody answers."""
        if facts.address == self._here:
            return _Hand().stacks(facts)
        return str(self._ask(facts.node, "stacks", facts) or "")

    def _ask(self, node_id: str, method: str, argument: object) -> object:
        try:
            return ray.get(getattr(self._actor(node_id), method).remote(argument), timeout=ASK_S)
        except (ray.exceptions.RayError, TimeoutError):
            with self._one_at_a_time:
                self._actors.pop(node_id, None)
            return None

    def _actor(self, node_id: str) -> object:
        with self._one_at_a_time:
            if node_id not in self._actors:
                there = NodeAffinitySchedulingStrategy(node_id, soft=False)
                self._actors[node_id] = ray.remote(_Hand).options(num_cpus=0, scheduling_strategy=there).remote()
            return self._actors[node_id]
