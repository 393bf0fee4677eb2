"""What a cluster is billed for while a launch goes on, used or not.

What is there the ledger knows, and prices are the spec's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from immutables import Map


@dataclass(frozen=True)
class Tariff:
    """USD an hour of one slice of each type that is billed (0 where no price is known), and from when until when.

    Slices that stay are billed from when they were first seen to the end, by the most of a type that were there
    together: one that was taken away counts as there, for when the cloud gives another is not known. Others are billed
    while a gang holds them and for `go_s` after. Cores and GPUs are billed while they are held.
    """

    usd_per_hour: Map[str, float] = field(default_factory=Map)
    stays: bool = True
    go_s: float = 0.0

    def of_slices(self, most: Mapping[str, int]) -> tuple[int, float]:
        """Return how many of so many slices of each type are billed because they stay, and USD an hour of them all."""
        if not self.stays:
            return 0, 0.0
        billed = [(kind, count) for kind, count in most.items() if kind in self.usd_per_hour]
        return sum(count for _, count in billed), sum(count * self.usd_per_hour[kind] for kind, count in billed)

    def kept_s(self, unused_s: float | None) -> float:
        """Return the seconds that one more gang adds to a slice's bill, beside its own.

        After its first gang a slice is kept for `go_s`; for the next one, after `unused_s`, only what passed is added.
        """
        if self.stays:
            return 0.0
        return self.go_s if unused_s is None else min(unused_s, self.go_s)
