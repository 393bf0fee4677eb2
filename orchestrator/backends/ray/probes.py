"""Which hosts are dead, by whether their raylets' ports take a connection; many are asked at once.

Ray notices by itself too, but late; what a lost host means is not decided here.
"""

import asyncio
from collections.abc import Iterable

from dit_grid.orchestrator.backends.ray.nodes import Node

CONNECT_S = 1.0
"""A raylet that does not take a connection for so long has not answered."""

SILENT_LOOKS = 3
"""Unanswered looks in a row after which a host is lost; a refused connection needs only REFUSED_LOOKS."""

REFUSED_LOOKS = 2
AT_A_TIME = 256


class Probes:
    """What was heard of each host so far."""

    def __init__(self) -> None:
        self._silent: dict[str, int] = {}
        self._heard: set[str] = set()

    def lost(self, nodes: Iterable[Node]) -> frozenset[str]:
        """Ask every host once and return the ids of those that are lost by now.

        One that was never heard of may be behind a firewall, and is Ray's to judge. A refusal is an answer of the
        machine: there is no raylet on it, whoever asks for the first time.
        """
        answers = asyncio.run(_connect_all(list(nodes)))
        for node_id, weight in answers.items():
            self._silent[node_id] = self._silent.get(node_id, 0) + weight if weight else 0
            if weight in (0, SILENT_LOOKS):
                self._heard.add(node_id)
        silent = {node_id for node_id in answers if self._silent[node_id] >= SILENT_LOOKS * REFUSED_LOOKS}
        return frozenset(silent & self._heard)


async def _connect_all(nodes: list[Node]) -> dict[str, int]:
    """Return for each host how much its silence weighs: 0 for one that took the connection."""
    turn = asyncio.Semaphore(AT_A_TIME)

    async def one(node: Node) -> int:
        async with turn:
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(node.address, node.port), CONNECT_S)
            except ConnectionRefusedError:
                return SILENT_LOOKS
            except (OSError, TimeoutError):
                return REFUSED_LOOKS
            writer.close()
            return 0

    return dict(zip((node.id for node in nodes), await asyncio.gather(*map(one, nodes)), strict=True))
