"""Who holds what: pools by count, slices by name, each slice by one gang at most until that gang is gone.

Ray's own counters are stale right after a reservation and its head resource is no lock, so this book is our own.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from immutables import Map

from dit_grid.orchestrator.core.events import ClusterSeen, Gang, SliceSeen

POOLS = ("cpu", "gpu")
"""Kinds that are counted and not named."""

FALSE_ALARM_S = 60.0
"""So long after its deadline a preemption notice counts as void if the slice is still there."""


def is_pool(kind: str) -> bool:
    """Return whether the kind is counted and not named."""
    return kind in POOLS


class Strikes(NamedTuple):
    """Failures of a slice in a row, and until when it is left alone."""

    in_a_row: int
    times: int
    until: float


@dataclass(frozen=True)
class Ledger:
    """`free` lists, by type and sorted, the slices that may be given: intact, staying, trusted and held by nobody."""

    pools: Map[str, int] = field(default_factory=Map)
    used: Map[str, int] = field(default_factory=Map)
    slices: Map[str, SliceSeen] = field(default_factory=Map)
    totals: Map[str, int] = field(default_factory=Map)
    """By slice type: how many are intact, held or not."""
    broken: Map[str, int] = field(default_factory=Map)
    """By slice type: how many are there but not intact."""
    held: Map[str, Gang] = field(default_factory=Map)
    free: Map[str, tuple[str, ...]] = field(default_factory=Map)
    leaving: Map[str, float] = field(default_factory=Map)
    """Slices with a preemption notice, and its deadline."""
    most: Map[str, int] = field(default_factory=Map)
    """By slice type: the most that were there together, intact or not."""
    given_back: Map[str, float] = field(default_factory=Map)
    """When each slice was last given back."""
    strikes: Map[str, Strikes] = field(default_factory=Map)

    def seen(self, cluster: ClusterSeen) -> "Ledger":
        """Return the ledger of the cluster as it is now; what is held stays held, there or not."""
        slices = Map({item.name: item for item in cluster.slices})
        if len(slices) != len(cluster.slices):
            raise ValueError("two slices of one name in the cluster")
        leaving = self.leaving
        for name, deadline in sorted(self.leaving.items()):
            if name not in slices or cluster.at > deadline:
                leaving = leaving.delete(name)  # it went, or the notice is over; the cluster says what is there now
        totals: dict[str, int] = {}
        broken: dict[str, int] = {}
        for item in cluster.slices:
            counted = totals if item.intact else broken
            counted[item.type] = counted.get(item.type, 0) + 1
        pools = Map({kind: count for kind, count in sorted(cluster.pools.items()) if count > 0})
        there = {kind: totals.get(kind, 0) + broken.get(kind, 0) for kind in (*totals, *broken)}
        book = replace(
            self.having_seen(there), pools=pools, slices=slices, totals=Map(totals), broken=Map(broken),
            leaving=leaving, free=Map(),
        )  # fmt: skip
        free: dict[str, list[str]] = {}
        for name in sorted(slices):
            if book._givable(name, cluster.at):
                free.setdefault(slices[name].type, []).append(name)
        return replace(book, free=Map({kind: tuple(names) for kind, names in free.items()}))

    def having_seen(self, most: Mapping[str, int]) -> "Ledger":
        """Return the ledger of a cluster in which so many slices of each type were once there together."""
        return replace(self, most=self.most.update({k: n for k, n in most.items() if n > self.most.get(k, 0)}))

    def usable(self, name: str | None) -> bool:
        """Return whether the slice is there, whole and staying, as far as is known; True for no slice."""
        return name is None or (name in self.slices and self.slices[name].intact and name not in self.leaving)

    def ranks(self, name: str | None) -> int:
        """Return how many processes a gang on the slice has: one a host."""
        return len(self.slices[name].hosts) if name is not None and name in self.slices else 1

    def total(self, kind: str) -> int:
        """Return how much of the kind there is, used or not; broken and leaving slices do not count."""
        return self.pools.get(kind, 0) or self.totals.get(kind, 0)

    def available(self, kind: str) -> int:
        """Return how much of the kind can be given now."""
        if kind in self.pools:
            return max(self.pools[kind] - self.used.get(kind, 0), 0)
        return len(self.free.get(kind, ()))

    def is_pool(self, kind: str) -> bool:
        """Return whether the kind is counted and not named."""
        return is_pool(kind)

    def choose(self, kind: str, avoid: str | None) -> str | None:
        """Return the free slice of the type to take, another than `avoid` where there is one; None if none is free."""
        names = self.free.get(kind, ())
        return next((name for name in names if name != avoid), names[0] if names else None)

    def take(self, name: str | None, kind: str, count: int, gang: Gang) -> "Ledger":
        """Return the ledger with the slice, or so much of the pool, held by the gang."""
        if name is None:
            return replace(self, used=self.used.set(kind, self.used.get(kind, 0) + count))
        if name in self.held:
            raise ValueError(f"slice {name} is held by {self.held[name]}; {gang} cannot have it")
        return replace(self, held=self.held.set(name, gang), free=self._without(name))

    def give_back(self, name: str | None, kind: str, count: int, now: float) -> "Ledger":
        """Return the ledger with what a gang held free again, where it still can be given."""
        if name is None:
            return replace(self, used=self.used.set(kind, self.used.get(kind, 0) - count))
        given_back = self.given_back.set(name, now)
        return replace(self, held=self.held.delete(name), given_back=given_back)._offered(name, now)

    def drained(self, name: str, deadline: float) -> "Ledger":
        """Return the ledger with the slice given to nobody until the notice is over."""
        return replace(self, leaving=self.leaving.set(name, deadline), free=self._without(name))

    def struck(self, name: str, now: float, limit: int, quarantine_s: float) -> "Ledger":
        """Return the ledger after a failure that may be the slice's own; the `limit`-th in a row puts it aside."""
        before = self.strikes.get(name, Strikes(0, 0, 0.0))
        count, times, until = before.in_a_row + 1, before.times, before.until
        if count >= limit:
            count, times, until = 0, times + 1, now + quarantine_s * 2 ** min(times, 6)
        strikes = self.strikes.set(name, Strikes(count, times, until))
        return replace(self, strikes=strikes, free=self._without(name))._offered(name, now)

    def trusted(self, name: str | None) -> "Ledger":
        """Return the ledger after a gang got on well there."""
        return self if name is None or name not in self.strikes else replace(self, strikes=self.strikes.delete(name))

    def reconsidered(self, name: str, now: float) -> "Ledger":
        """Return the ledger with the slice on offer again if its quarantine, or a void notice, is over."""
        if name in self.leaving and self.leaving[name] + FALSE_ALARM_S <= now:
            return replace(self, leaving=self.leaving.delete(name))._offered(name, now)
        return self._offered(name, now)

    def aside(self, kind: str, now: float) -> Iterator[str]:
        """Yield the slices of the type that are in quarantine."""
        for name, strikes in self.strikes.items():
            if strikes.until > now and name in self.slices and self.slices[name].type == kind:
                yield name

    def _givable(self, name: str, now: float) -> bool:
        quarantined = name in self.strikes and self.strikes[name].until > now
        return self.usable(name) and name not in self.held and not quarantined

    def _offered(self, name: str, now: float) -> "Ledger":
        if not self._givable(name, now):
            return self
        kind = self.slices[name].type
        names = self.free.get(kind, ())
        at = bisect_left(names, name)
        if at < len(names) and names[at] == name:
            return self
        return replace(self, free=self.free.set(kind, (*names[:at], name, *names[at:])))

    def _without(self, name: str) -> Map[str, tuple[str, ...]]:
        if name not in self.slices:
            return self.free
        kind = self.slices[name].type
        names = self.free.get(kind, ())
        at = bisect_left(names, name)
        if at == len(names) or names[at] != name:
            return self.free
        return self.free.set(kind, (*names[:at], *names[at + 1 :]))
