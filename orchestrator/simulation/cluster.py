"""A virtual cluster: slices that come and go, gangs that train at a stated pace, and the news a backend would tell.

It keeps its own books of who runs where and what was committed, and refuses an order that would book a host twice or
start a run that runs: what the core promises is checked against these, not against the core.
"""

import heapq
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dit_grid.orchestrator.core import Run
from dit_grid.orchestrator.core.events import (
    Action,
    CheckpointAndStop,
    ClusterSeen,
    Event,
    Gang,
    GangGone,
    GangStarted,
    Progressed,
    RankEnded,
    RankLost,
    SliceDraining,
    SliceSeen,
    Start,
    StartFailed,
)
from dit_grid.orchestrator.simulation.faults import Faults

GLOO = "UNKNOWN: Gloo AllGather failed: connection reset by peer"


@dataclass(frozen=True)
class Pace:
    """How a run goes: seconds to come up and to compile; checkpoints, reports and evaluations every so many steps."""

    seconds_per_step: float
    checkpoint_every: int
    report_every: int = 0
    """Steps between two reports; nothing but checkpoints is reported at 0."""
    evaluate_every: int = 0
    evaluation_s: float = 0.0
    measured_every: int = 0
    """Steps between the checkpoints that jobs of their own measure; they are written beside the others."""
    start_s: float = 30.0
    compile_s: float = 60.0
    checkpoint_s: float = 5.0


@dataclass(frozen=True)
class Scaling:
    """How autoscaled slices come and go: seconds until one that is wanted is there, and for which it stays unused."""

    come_s: float
    go_s: float


@dataclass
class _Slice:
    seen: SliceSeen
    up_s: float = 0.0
    """How long it was there, until it was last counted, where slices come and go."""
    held_since: float = 0.0
    free_since: float | None = None
    """When it was last given back; None before it ever came."""
    works: bool = True
    """Whether gangs can start on it; the cluster does not show this."""
    gang: "_Gang | None" = None


@dataclass
class _Gang:
    gang: Gang
    slice: _Slice | None
    pace: Pace
    steps: int
    step: int
    """The step last told of."""
    since: float
    """When it was there."""
    phase: str = "starting"
    alive: bool = True
    hung: bool = False


class VirtualCluster:
    """`perform` takes orders, `next_at` says when something happens next, and `happen` returns the news of it."""

    def __init__(
        self, runs: Mapping[str, Run], paces: Mapping[str, Pace], slices: Mapping[str, int], hosts: Mapping[str, int],
        pools: Mapping[str, int], faults: Faults, dice: random.Random, scaling: Scaling | None = None,
    ) -> None:  # fmt: skip
        self.scaling = scaling
        self.runs, self.paces, self.pools, self.faults, self.dice = runs, paces, dict(pools), faults, dice
        self.now = 0.0
        self.checkpoints = {run_id: run.step for run_id, run in runs.items()}
        self.done: set[str] = set()
        self.gangs: dict[str, _Gang] = {}
        self.preemptions = 0
        self._queue: list[tuple[float, int, Callable[[], list[Event]]]] = []
        self._count = 0
        self._notices = 0
        self._slices: dict[str, _Slice] = {}
        for kind, count in slices.items():
            for number in range(count):
                name = f"{kind}-{number:04d}"
                workers = tuple(f"{name}-w{host}" for host in range(hosts.get(kind, 1)))
                self._slices[name] = _Slice(SliceSeen(name, kind, workers))
                self._arm(name)
        shares = [
            ("nan", faults.nan),
            ("out-of-memory", faults.out_of_memory),
            ("", 1 - faults.nan - faults.out_of_memory),
        ]
        self.fate = {run_id: dice.choices([f for f, _ in shares], [s for _, s in shares])[0] for run_id in runs}

    def seen(self) -> ClusterSeen:
        """Return the cluster as it looks now."""
        return ClusterSeen(
            self.now, dict(self.pools), tuple(item.seen for item in self._slices.values() if item.seen.hosts)
        )

    def living(self) -> list[GangStarted]:
        """Return the gangs that a new driver finds: all that still hold something, those on their way out too."""
        found = sorted(self.gangs.values(), key=lambda g: g.gang)
        return [GangStarted(self.now, g.gang, g.slice.seen.name if g.slice else None, adopted=True) for g in found]

    @property
    def next_at(self) -> float | None:
        """Return when something happens next."""
        return self._queue[0][0] if self._queue else None

    def happen(self) -> list[Event]:
        """Let the next thing happen and return what a driver hears of it."""
        self.now, _, what = heapq.heappop(self._queue)
        return what()

    def perform(self, action: Action) -> None:
        """Take an order. AssertionError where it would run a run twice or give a slice to two."""
        if isinstance(action, Start):
            self._start(action)
            return
        found = self.gangs.get(action.gang.run_id)
        if found is None or found.gang != action.gang:
            self._after(0.0, lambda: [self._gone_word(action.gang)])
        elif isinstance(action, CheckpointAndStop) and found.phase == "training" and not found.hung and found.alive:
            reached = self._reached(found)
            found.phase = "stopping"
            self._after(found.pace.checkpoint_s, self._of(found, lambda: self._stopped(found, reached)))
        elif not isinstance(action, CheckpointAndStop):
            found.alive = False
            self._after(1.0, lambda: self._gone(found))

    def _start(self, action: Start) -> None:
        run_id = action.gang.run_id
        assert run_id not in self.gangs, f"{run_id} runs already"
        assert run_id not in self.done, f"{run_id} is done already"
        run = self.runs[run_id]
        assert not run.of or self.checkpoints[run.of] >= run.at_step, f"{run_id} has no checkpoint to measure"
        item = self._slices[action.slice] if action.slice is not None else None
        assert item is None or item.gang is None, f"{action.slice} is held already"
        assert item is None or item.seen.type == self.runs[run_id].kind, f"{run_id} on {action.slice}"
        at = self.checkpoints[run_id]
        gang = _Gang(action.gang, item, self.paces[run_id], self.runs[run_id].steps, at, self.now)
        self.gangs[run_id] = gang
        coming_s = 0.0
        if item is not None:
            item.gang = gang
            coming_s = self._come(item)
        self._after(coming_s + gang.pace.start_s, self._of(gang, lambda: self._started(gang)))

    def _started(self, gang: _Gang) -> list[Event]:
        item = gang.slice
        if item is not None and not (item.works and item.seen.hosts and item.seen.intact):
            self._forget(gang)
            return [StartFailed(self.now, gang.gang, "a host never joined")]
        gang.phase = "compiling"
        if self.fate[gang.gang.run_id] == "out-of-memory":
            self._after(
                gang.pace.compile_s, self._of(gang, lambda: self._fails(gang, "out-of-memory", "RESOURCE_EXHAUSTED"))
            )
        else:
            self._after(gang.pace.compile_s, self._of(gang, lambda: self._training(gang)))
        return [GangStarted(self.now, gang.gang, item.seen.name if item else None)]

    def _training(self, gang: _Gang) -> list[Event]:
        """Train until the next checkpoint or evaluation."""
        gang.phase = "evaluating" if self.runs[gang.gang.run_id].of else "training"
        gang.since = self.now
        if self.fate[gang.gang.run_id] == "nan" and gang.step >= gang.steps // 2:
            return self._fails(gang, "nan", f"the last good checkpoint is at step {gang.step}")
        pace, until = gang.pace, gang.steps
        for every in (pace.checkpoint_every, pace.evaluate_every, pace.report_every, pace.measured_every):
            if every:
                until = min(until, (gang.step // every + 1) * every)
        self._after((until - gang.step) * pace.seconds_per_step, self._of(gang, lambda: self._reaches(gang, until)))
        return [self._word(gang)]

    def _reaches(self, gang: _Gang, step: int) -> list[Event]:
        """Arrive at a step: evaluate if it is time, always at the end; then commit what is to be committed."""
        gang.step, pace = step, gang.pace
        due = pace.evaluate_every and (step % pace.evaluate_every == 0 or step == gang.steps)
        if due and pace.evaluation_s:
            gang.phase = "evaluating"
            self._after(pace.evaluation_s, self._of(gang, lambda: self._commits(gang)))
            return [self._word(gang)]
        return self._commits(gang)

    def _commits(self, gang: _Gang) -> list[Event]:
        often = (gang.pace.checkpoint_every, gang.pace.measured_every)
        if gang.step == gang.steps or any(every and gang.step % every == 0 for every in often):
            self.checkpoints[gang.gang.run_id] = gang.step
        if gang.step < gang.steps:
            return self._training(gang)
        self.done.add(gang.gang.run_id)
        self._after(1.0, lambda: self._gone(gang))
        return [self._word(gang), RankEnded(self.now, gang.gang, 0, "done", gang.step)]

    def _word(self, gang: _Gang) -> Progressed:
        return Progressed(self.now, gang.gang, gang.step, self.checkpoints[gang.gang.run_id], gang.phase)

    def _stopped(self, gang: _Gang, step: int) -> list[Event]:
        gang.step = max(step, gang.step)
        self.checkpoints[gang.gang.run_id] = gang.step
        self._after(0.5, lambda: self._gone(gang))
        return [RankEnded(self.now, gang.gang, 0, "interrupted", gang.step)]

    def _fails(self, gang: _Gang, outcome: str, message: str) -> list[Event]:
        gang.alive = False
        self._after(0.5, lambda: self._gone(gang))
        return [RankEnded(self.now, gang.gang, 0, outcome, gang.step, message)]

    def _gone(self, gang: _Gang) -> list[Event]:
        if self.gangs.get(gang.gang.run_id) is not gang:
            return []
        self._forget(gang)
        return [self._gone_word(gang.gang)]

    def _gone_word(self, gang: Gang) -> GangGone:
        return GangGone(self.now, gang, self.checkpoints[gang.run_id], gang.run_id in self.done)

    def _forget(self, gang: _Gang) -> None:
        gang.alive = False
        del self.gangs[gang.gang.run_id]
        if gang.slice is not None:
            gang.slice.gang = None
            gang.slice.up_s += self.now - gang.slice.held_since
            gang.slice.free_since = self.now

    def _come(self, item: _Slice) -> float:
        """Return the seconds until the slice is there for a gang that wants it now."""
        item.held_since = self.now
        if self.scaling is None:
            return 0.0
        unused = None if item.free_since is None else self.now - item.free_since
        item.up_s += 0.0 if unused is None else min(unused, self.scaling.go_s)
        return self.scaling.come_s if unused is None or unused > self.scaling.go_s else 0.0

    def up_s(self) -> dict[str, float]:
        """Return how many seconds the slices of each type were there together, and so were billed, until now.

        A slice that was taken away counts as there: how soon the cloud gives another is not known.
        """
        found: dict[str, float] = {}
        for item in self._slices.values():
            held = item.up_s + (self.now - item.held_since if item.gang is not None else 0.0)
            if self.scaling is not None:
                there = held + (self.scaling.go_s if item.free_since is not None and item.gang is None else 0.0)
            else:
                there = self.now
            found[item.seen.type] = found.get(item.seen.type, 0.0) + there
        return found

    def _reached(self, gang: _Gang) -> int:
        """Return the step that the gang is at now."""
        return min(gang.step + int((self.now - gang.since) / gang.pace.seconds_per_step), gang.steps - 1)

    # What goes wrong.

    def _arm(self, name: str) -> None:
        if self.faults.per_slice > 0:
            self._after(self.faults.next_s(self.dice), lambda: self._fault(name))

    def _fault(self, name: str) -> list[Event]:
        self._arm(name)
        item, kind = self._slices[name], self.faults.kind(self.dice)
        if not (item.seen.hosts and item.seen.intact):
            return []
        gang = item.gang if item.gang is not None and item.gang.alive else None
        if kind == "preemption":
            self.preemptions += 1
            return self._preempted(item)
        if kind == "kill":
            return self._host_dies(item)
        if kind == "broken":
            item.works = False
            self._after(self.faults.broken_s, lambda: self._mended(item))
        elif gang is not None and kind == "hang":
            gang.hung = True
        elif gang is not None and kind == "process" and not gang.hung:
            gang.alive = False
            self._after(0.5, lambda: self._gone(gang))
            return [RankLost(self.now, gang.gang, 0, "process", "worker died")]
        elif gang is not None and kind == "storage" and gang.phase == "training" and not gang.hung:
            return self._fails(gang, "storage", "StorageError: the store does not answer")
        return []

    def _mended(self, item: _Slice) -> list[Event]:
        item.works = True
        return []

    def _preempted(self, item: _Slice) -> list[Event]:
        if self.dice.random() >= self.faults.noticed:
            return self._taken(item)
        item.seen = SliceSeen(item.seen.name, item.seen.type, item.seen.hosts, draining=True)
        self._after(self.faults.notice_s, lambda: self._taken(item))
        return [SliceDraining(self.now, item.seen.name, self.now + self.faults.notice_s)]

    def _taken(self, item: _Slice) -> list[Event]:
        """The cloud takes every host of the slice; it, or another for it, is there later."""
        whole = item.seen
        item.seen = SliceSeen(whole.name, whole.type, ())
        self._after(self.dice.expovariate(1 / self.faults.back_s), lambda: self._back(item, whole))
        return [*self._die_on(item), self.seen()]

    def _host_dies(self, item: _Slice) -> list[Event]:
        whole = item.seen
        item.seen = SliceSeen(whole.name, whole.type, (None, *whole.hosts[1:]))
        self._after(self.faults.repair_s, lambda: self._back(item, whole))
        self._after(self.faults.host_seen_s, lambda: [self.seen()])
        return self._die_on(item)

    def _die_on(self, item: _Slice) -> list[Event]:
        """The gang's other ranks fail first, with what looks like an error in the code; the loss is known later."""
        gang = item.gang
        if gang is None or not gang.alive:
            return []
        gang.alive = False
        ranks = len(item.seen.hosts) or 2
        if ranks > 1:
            self._after(self.faults.peer_error_s, lambda: [RankEnded(self.now, gang.gang, 1, "error", gang.step, GLOO)])
        self._after(self.faults.host_seen_s, lambda: [RankLost(self.now, gang.gang, 0, "host", "a host went away")])
        self._after(self.faults.host_seen_s + 0.5, lambda: self._gone(gang))
        return []

    def _back(self, item: _Slice, whole: SliceSeen) -> list[Event]:
        item.seen, item.works = SliceSeen(whole.name, whole.type, whole.hosts), True
        return [self.seen()]

    def _after(self, delay_s: float, what: Callable[[], list[Event]]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay_s, self._count, what))

    def _of(self, gang: _Gang, what: Callable[[], list[Event]]) -> Callable[[], list[Event]]:
        """Return what happens only if the gang still lives, works, and does what it did."""
        phase = gang.phase
        return lambda: what() if gang.alive and not gang.hung and gang.phase == phase else []
