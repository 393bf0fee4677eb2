"""What the scheduler core and the place where runs execute say to each other: events one way, actions the other.

Plain frozen records, so that a journal can hold them and a simulator can make them. No decision and no clock is here:
every event carries its own time `at`, in seconds of one clock that never goes back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Gang(NamedTuple):
    """One start of a run: all its processes, on all its hosts. `start` counts the starts of a run from 1.

    The store's attempt number is another one: a start that dies before training begins never gets one.
    """

    run_id: str
    start: int


@dataclass(frozen=True)
class SliceSeen:
    """A slice as the cluster shows it: its hosts by worker id, None where a host is missing; whether it is draining."""

    name: str
    type: str
    hosts: tuple[str | None, ...]
    draining: bool = False

    @property
    def intact(self) -> bool:
        """Return whether every host is there and stays."""
        return not self.draining and None not in self.hosts


# Events: what happened.


@dataclass(frozen=True)
class ClusterSeen:
    """All that there is, used or not: so many `cpu` and `gpu` in `pools`, and every slice, broken ones too."""

    at: float
    pools: Mapping[str, int]
    slices: tuple[SliceSeen, ...] = ()


@dataclass(frozen=True)
class GangStarted:
    """Every process of the gang is up and has been told to train. Also said of a gang that was found alive again."""

    at: float
    gang: Gang
    slice: str | None = None
    adopted: bool = False


@dataclass(frozen=True)
class StartFailed:
    """The gang could not be brought up; nothing of it is left. `permanent`: the same request can never succeed."""

    at: float
    gang: Gang
    message: str
    permanent: bool = False


@dataclass(frozen=True)
class Progressed:
    """The gang reached a step, and its newest whole checkpoint is at `checkpoint`. `activity` as in `Progress`."""

    at: float
    gang: Gang
    step: int
    checkpoint: int
    activity: str = "training"


@dataclass(frozen=True)
class RankEnded:
    """A process of the gang ended by itself: `outcome` is done, interrupted or a class of `failures`."""

    at: float
    gang: Gang
    rank: int
    outcome: str
    step: int
    message: str = ""


@dataclass(frozen=True)
class RankLost:
    """A process of the gang is gone without a word. `cause` is process, host, drain or unreachable."""

    at: float
    gang: Gang
    rank: int
    cause: str
    message: str = ""


@dataclass(frozen=True)
class GangGone:
    """No process of the gang is left and what it held is free; its newest whole checkpoint is at `checkpoint`.

    `done`: the store holds the run's end, whoever heard of it. A process may say so to a driver that dies, or die
    before it could.
    """

    at: float
    gang: Gang
    checkpoint: int
    done: bool = False


@dataclass(frozen=True)
class SliceDraining:
    """The slice will be taken away at `deadline` (a preemption notice); what runs there should checkpoint now."""

    at: float
    slice: str
    deadline: float


@dataclass(frozen=True)
class Asked:
    """A person asks: `what` is cancel, pause, resume, retry (of these runs) or stop (all; runs keep their progress).

    `enough` is asked by what advises, never by a person: the end of these runs is known well enough, and `why` says it.
    """

    at: float
    what: str
    run_ids: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Reordered:
    """What was measured so far says which waiting runs are worth most: these first, in this order, among their equals.

    `enough` says in words that no more need start; `stop_running` that those that run may end too. `why` is for people.
    """

    at: float
    run_ids: tuple[str, ...] = ()
    enough: str = ""
    stop_running: bool = False
    why: str = ""


@dataclass(frozen=True)
class Unwatched:
    """No driver counted for so many seconds until now, since the one before died: what was held and billed meanwhile.

    `most` slices of each type had been there together, and are billed on where it is the same cluster. `at_most` says
    in words why it may have been less; empty where it is known.
    """

    at: float
    seconds: float
    slice_s: float
    usd: float
    billed_s: float
    billed_usd: float
    most: Mapping[str, int]
    at_most: str = ""


@dataclass(frozen=True)
class Tick:
    """Time passed; the core looks at its deadlines."""

    at: float


Event = (
    ClusterSeen
    | GangStarted
    | StartFailed
    | Progressed
    | RankEnded
    | RankLost
    | GangGone
    | SliceDraining
    | Asked
    | Reordered
    | Unwatched
    | Tick
)


# Actions: what is to be done. None waits: what came of it is told by a later event.


@dataclass(frozen=True)
class Start:
    """Bring up the gang on this slice, or on the pool of the run's kind where `slice` is None."""

    gang: Gang
    slice: str | None = None


@dataclass(frozen=True)
class CheckpointAndStop:
    """Ask the gang to write a checkpoint and end. `GangGone` follows."""

    gang: Gang


@dataclass(frozen=True)
class Kill:
    """End every process of the gang now. `GangGone` follows, once none is left. `stacks`: save theirs first."""

    gang: Gang
    stacks: bool = False


Action = Start | CheckpointAndStop | Kill
