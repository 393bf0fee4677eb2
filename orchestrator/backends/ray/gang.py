"""One gang on one thread: brought up, watched until its last process is over, and ended so that nothing of it is left.

The thread does all that waits, so the driver's loop never does. What happened is told by `emit`; the driver answers
with `ask_to_stop` and `kill`.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError

from dit_grid.experiments.spec.any_run import AnyRun
from dit_grid.experiments.store import Store, StoreError
from dit_grid.experiments.training.context import Progress
from dit_grid.orchestrator.backends.contract import has_ended, newest_checkpoint, now
from dit_grid.orchestrator.backends.ray.hands import Hands
from dit_grid.orchestrator.backends.ray.local import Host, LocalRay
from dit_grid.orchestrator.backends.ray.placement import (
    CannotStartError,
    free,
    rank_options,
    reserve,
    shape_on_pool,
    shape_on_slice,
)
from dit_grid.orchestrator.backends.ray.watch import ClusterWatch
from dit_grid.orchestrator.backends.run_log import RunLog
from dit_grid.orchestrator.backends.variables import environment
from dit_grid.orchestrator.backends.worker import (
    LOST,
    Facts,
    Place,
    RankStatus,
    Worker,
    compilation_cache,
    shared_programs,
)
from dit_grid.orchestrator.core.events import (
    Event,
    Gang,
    GangGone,
    GangStarted,
    Progressed,
    RankEnded,
    RankLost,
    StartFailed,
)

START_S = 300.0
"""How long the processes of a gang may take to come up; a host that pulls an image needs minutes."""

WORD_S = 2.0
"""A process that has nothing new says so after this long; its silence is heard within it."""

LOOK_S = 0.25
CHECKPOINT_LOOK_S = 2.0
"""How often the store is asked for the newest checkpoint of a run that trains."""

CAUSE_S = 3.0
"""How long a lost process waits for its host to be found lost too, which is then the cause."""

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


class GangRun:
    """A gang at work. Make one with `started` or, of processes that are there already, with `adopted`."""

    def __init__(self, ground: Ground, gang: Gang, run: AnyRun, slice_name: str | None) -> None:
        self.ground, self.gang, self.run, self.slice = ground, gang, run, slice_name
        self.progress: Progress | None = None
        self.gone = threading.Event()
        self._ranks: list[Rank] = []
        self._host: Host | None = None
        self._group: Any = None
        self._stop_asked, self._kill_asked, self._detached = (threading.Event() for _ in range(3))
        self._stacks = self._healthy = self._up = False
        self._checkpoint, self._looked = 0, 0.0

    @property
    def name(self) -> str:
        """Return what the gang's placement group is called."""
        return f"{self.ground.prefix}/{self.gang.run_id}/{self.gang.start}"

    def started(self) -> "GangRun":
        """Bring the gang up on a thread of its own."""
        threading.Thread(target=self._live, args=(self._bring_up,), name=self.name, daemon=True).start()
        return self

    def adopted(self, ranks: list[Rank], group: Any) -> "GangRun":
        """Go on with processes that an earlier driver started; a rank without an actor is lost."""
        self._ranks, self._group, self._up = ranks, group, True
        threading.Thread(target=self._live, args=(lambda: None,), name=self.name, daemon=True).start()
        return self

    def ask_to_stop(self) -> None:
        """Ask every process to write a checkpoint and end; one that is still coming up is told when it is there."""
        self._stop_asked.set()
        for rank in self._ranks:
            if rank.actor is not None:
                rank.actor.stop.remote()

    def kill(self, stacks: bool) -> None:
        """End every process now, saving their stacks first if asked."""
        self._stacks = stacks
        self._kill_asked.set()

    def detach(self) -> None:
        """Let go of the gang; its processes go on."""
        self._detached.set()

    def _live(self, begin: Callable[[], None]) -> None:
        """Be the gang's thread: whatever fails here, nothing of the gang is left behind and the driver is told."""
        failed: CannotStartError | None = None
        try:
            begin()
            self._watch()
        except CannotStartError as error:
            failed = error
        except Exception as error:  # of Ray's own; the driver's retries are for just that
            failed = CannotStartError(f"{type(error).__name__}: {_first_line(error)}")
        if self._detached.is_set():
            return
        if failed is not None and self._up:
            for number in (number for number, rank in enumerate(self._ranks) if not rank.over):
                self._lose(number, "unreachable", str(failed))
        self._end_everything()
        self.gone.set()
        if failed is not None and not self._up and not self._kill_asked.is_set():
            self.ground.emit(StartFailed(now(), self.gang, str(failed), failed.permanent))
        else:
            self.ground.emit(gone_word(self.ground, self.gang, self._checkpoint))

    def _bring_up(self) -> None:
        if self.ground.local is not None and self.slice is None and self.run.execution.resources.kind == "cpu":
            self._bring_up_here(self.ground.local)
        else:
            self._bring_up_on_the_cluster()
        self._meet_the_ranks()
        spec, world = self.run.model_dump_json(), len(self._ranks)
        first = self._facts()[0]
        places = [Place(rank, world, f"{first.address}:{first.port}") for rank in range(world)]
        ray.get([r.actor.begin.remote(spec, place) for r, place in zip(self._ranks, places, strict=True)])
        self._up = True
        self.ground.emit(GangStarted(now(), self.gang, self.slice))
        if self._stop_asked.is_set():
            self.ask_to_stop()

    def _bring_up_here(self, local: LocalRay) -> None:
        """Take an idle process of this machine, or start one on cores of its own."""
        count = self.run.execution.resources.count
        variables = environment(self.run, str(compilation_cache()))
        self._host, cores = local.take(count, variables)
        if self._host is None:
            options = {"num_cpus": count, "max_concurrency": 4, "runtime_env": {"env_vars": variables}}
            actor = ray.remote(Worker).options(**options).remote(self.ground.where, cores)
            self._host = Host(actor, cores, variables)
        self._ranks = [Rank(self._host.actor)]

    def _bring_up_on_the_cluster(self) -> None:
        """Reserve the hosts and start a fresh process on each, detached, so that they outlive this driver."""
        nodes = self.ground.watch.living()
        shape = shape_on_slice(self.slice, nodes) if self.slice else shape_on_pool(self.run.execution.resources, nodes)
        self._group = reserve(shape, self.name, self._kill_asked.is_set)
        world, on = len(shape.bundles), self.slice or "-"
        for rank in range(world):
            options = rank_options(shape, self._group, rank) | {
                "name": f"{self.gang.run_id}/{self.gang.start}/{rank}/{world}/{on}",
                "lifetime": None if self.ground.local else "detached",
                "max_concurrency": 4,
                "runtime_env": {"env_vars": environment(self.run, self._programs())},
            }
            actor = (
                ray.remote(Worker)
                .options(**options)
                .remote(self.ground.where, (), dict(self.ground.facts), self.ground.local is None)
            )
            self._ranks.append(Rank(actor))

    def _programs(self) -> str:
        """Where this gang keeps compiled programs: on this machine alone, all stores have one folder."""
        return str(compilation_cache()) if self.ground.local else shared_programs(self.run, self.ground.where)

    def _meet_the_ranks(self) -> None:
        """Wait until every process said who it is."""
        asked = {rank.actor.facts.remote(): rank for rank in self._ranks}
        deadline = time.monotonic() + START_S
        while asked:
            for reference in ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_S)[0]:
                try:
                    asked.pop(reference).facts = ray.get(reference)
                except RayError as error:
                    raise CannotStartError(f"a process died while it came up: {_first_line(error)}") from error
            if self._kill_asked.is_set() or time.monotonic() > deadline:
                raise CannotStartError(f"{len(asked)} of {len(self._ranks)} processes did not come up in time")
            if self.ground.watch.gone([r.facts.node for r in self._ranks if r.facts]):
                raise CannotStartError("a host went away while its gang came up")
        for facts in self._facts():
            self.ground.hands.ready(facts.node, facts.address)

    def _facts(self) -> list[Facts]:
        return [rank.facts for rank in self._ranks if rank.facts is not None]

    def _watch(self) -> None:
        """Hear every process out until all are over, or the gang is to be killed."""
        for number, rank in enumerate(self._ranks):
            if rank.actor is None:
                self._lose(number, "process", "it was gone when this driver came")
            else:
                rank.asked = rank.actor.status.remote(rank.seen, 0.0)
        while not all(rank.over for rank in self._ranks):
            self._notice_lost_hosts()
            if self._kill_asked.is_set() or self._detached.is_set():
                return
            asked = {rank.asked: number for number, rank in enumerate(self._ranks) if not rank.over}
            if asked:
                heard = ray.wait(list(asked), num_returns=1, timeout=LOOK_S)[0]
                if heard:  # take all that is there
                    heard = ray.wait(list(asked), num_returns=len(asked), timeout=0)[0]
                for reference in heard:
                    self._hear(asked[reference], reference)

    def _hear(self, number: int, reference: Any) -> None:
        rank = self._ranks[number]
        try:
            status: RankStatus = ray.get(reference)
        except RayError as error:
            self._lose(number, *self._cause(rank, error))
            return
        if status.version == 0:  # only of a gang that was adopted; it would wait for ever
            self._lose(number, "process", "its driver died before telling it what to do")
            return
        news, rank.seen = status.version != rank.seen, status.version
        if status.progress is not None and news and number == 0:
            self._advance(status.progress)
        if not status.outcome:
            rank.asked = rank.actor.status.remote(rank.seen, WORD_S)
        elif status.outcome == LOST:
            self._lose(number, "unreachable", status.message)
        else:
            rank.over, self._healthy = True, status.outcome == "done"
            self.ground.emit(RankEnded(now(), self.gang, number, status.outcome, status.step, status.message))

    def _advance(self, progress: Progress) -> None:
        """Tell of progress, and the other processes which attempt they are, which only rank 0 knows by itself."""
        if self.progress is None:
            for rank in self._ranks[1:]:
                if rank.actor is not None:
                    rank.actor.attempt_is.remote(progress.attempt)
        self.progress = progress
        if time.monotonic() - self._looked > CHECKPOINT_LOOK_S:
            self._looked = time.monotonic()
            with contextlib.suppress(StoreError, OSError):  # the last one known will do
                self._checkpoint = newest_checkpoint(self.ground.store, self.gang.run_id)
        self.ground.emit(Progressed(now(), self.gang, progress.step, self._checkpoint, progress.activity))

    def _notice_lost_hosts(self) -> None:
        gone = self.ground.watch.gone([facts.node for facts in self._facts()])
        for number, rank in enumerate(self._ranks):
            if gone and not rank.over and rank.facts is not None and rank.facts.node in gone:
                cause = "drain" if rank.facts.node in self.ground.watch.draining else "host"
                self._lose(number, cause, f"host {rank.facts.address} does not answer")

    def _lose(self, number: int, cause: str, message: str) -> None:
        self._ranks[number].over, self._healthy = True, False
        self.ground.emit(RankLost(now(), self.gang, number, cause, message))

    def _cause(self, rank: Rank, error: RayError) -> tuple[str, str]:
        """Return why a process does not answer. Its host's end is looked for first: it is noticed a moment later."""
        watch, node = self.ground.watch, rank.facts.node if rank.facts else ""
        on, deadline = [node] if node else [], time.monotonic() + CAUSE_S
        while not watch.gone(on) and time.monotonic() < deadline and not self._process_is_known_dead(error):
            time.sleep(LOOK_S)
        if node in watch.draining or getattr(error, "preempted", False):
            return "drain", f"its host was taken away: {_first_line(error)}"
        if watch.gone(on):
            return "host", f"its host is gone: {_first_line(error)}"
        return "unreachable" if isinstance(error, ActorUnavailableError) else "process", _first_line(error)

    def _process_is_known_dead(self, error: RayError) -> bool:
        """Whether a raylet that is alive told how its process ended; one that died with its host tells nothing."""
        return "worker process has died" in str(error)

    def _end_everything(self) -> None:
        """End processes and free what they held; return when both are certain."""
        if self._host is not None and self.ground.local is not None and self._healthy:
            self.ground.local.give_back(self._host, usable=True)
            return
        if self._stacks:
            self._save_stacks()
        for rank in self._ranks:
            if rank.actor is not None:
                with contextlib.suppress(RayError):
                    ray.kill(rank.actor)
        with ThreadPoolExecutor(AT_A_TIME) as at_once:
            list(at_once.map(self._end_process, self._facts()))
        with contextlib.suppress(RayError):
            free(self._group)
        if self._host is not None and self.ground.local is not None:
            self.ground.local.give_back(self._host, usable=False)

    def _end_process(self, facts: Facts) -> None:
        """End one process for certain, or wait until its host is gone with it."""
        while not self.ground.hands.end(facts.node, facts.address, [(facts.pid, facts.birth)]):
            if self.ground.watch.gone([facts.node]):
                return
            time.sleep(LOOK_S)

    def _save_stacks(self) -> None:
        """Write the stacks of every process that can still show them into its log."""
        if self.progress is None:
            return
        for number, rank in enumerate(self._ranks):
            if rank.facts is not None:
                facts = rank.facts
                text = self.ground.hands.stacks(facts)
                said = f"no progress; where each thread of rank {number} stood:\n{text or 'the process did not answer'}"
                with contextlib.suppress(StoreError, OSError):  # a store that is away must not keep the gang alive
                    log = RunLog(self.ground.store, self.gang.run_id, number)
                    log.begin(self.progress.attempt)
                    log.line(said)
                    log.flush()


def gone_word(ground: Ground, gang: Gang, checkpoint: int = 0) -> GangGone:
    """Return what is to be said of a gang that is over: `checkpoint` is the newest one known if the store is silent."""
    done = False
    with contextlib.suppress(StoreError, OSError):
        checkpoint = newest_checkpoint(ground.store, gang.run_id)
        done = has_ended(ground.store, gang.run_id)
    return GangGone(now(), gang, checkpoint, done)


def _first_line(error: BaseException) -> str:
    """Return the line of Ray's long message that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("The actor is dead", "The actor is unavailable"))]
    return (telling or lines or [type(error).__name__])[0][:300]
