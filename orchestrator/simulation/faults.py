"""What goes wrong in a virtual cluster, and how often: rates a slice and hour, and shares of runs that cannot succeed.

Times are in seconds. The defaults of the delays are what was measured on Ray (docs/scheduler.md) or is documented by
Google Cloud; the rates are zero until somebody asks.
"""

import random
from dataclasses import dataclass

PER_SLICE = ("preemption", "kill", "process", "hang", "storage", "broken")


@dataclass(frozen=True)
class Faults:
    """Rates are events per slice and hour, Poisson; `nan` and `out_of_memory` are shares of the runs.

    preemption: the cloud takes the slice, after a notice or without. kill: a host dies, the slice is whole again after
    `repair_s`. process: one process dies. hang: no step any more, no word. storage: the store does not answer.
    broken: the slice looks whole but nothing starts on it for `broken_s`.
    """

    preemption: float = 0.0
    kill: float = 0.0
    process: float = 0.0
    hang: float = 0.0
    storage: float = 0.0
    broken: float = 0.0
    driver: float = 0.0
    """Drivers that die an hour; the next one takes the gangs over at once."""
    nan: float = 0.0
    out_of_memory: float = 0.0
    noticed: float = 0.5
    """Share of preemptions that come with a notice."""
    notice_s: float = 30.0
    back_s: float = 1800.0
    """Mean time until a preempted slice, or another for it, is there."""
    repair_s: float = 600.0
    broken_s: float = 3600.0
    host_seen_s: float = 2.0
    """From a host's death until it is known."""
    peer_error_s: float = 0.8
    """From a host's death until the other ranks fail; the error looks like one in the code."""

    @property
    def per_slice(self) -> float:
        """Return how many events of any kind there are a slice and hour."""
        return sum(getattr(self, name) for name in PER_SLICE)

    def next_s(self, dice: random.Random) -> float:
        """Return the time until the next event of a slice."""
        return dice.expovariate(self.per_slice / 3600.0)

    def kind(self, dice: random.Random) -> str:
        """Return which event it is."""
        return dice.choices(PER_SLICE, [getattr(self, name) for name in PER_SLICE])[0]
