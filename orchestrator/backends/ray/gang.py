"""One gang on one thread: brought up, watched until its last process is over, and ended so that nothing of it is left.

The thread does all that waits, so the driver's loop never does. What happened is told by `emit`; the driver answers
with `ask_to_stop` and `kill`.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError

from dit_grid.experiments.spec.any_run import AnyRun
from dit_grid.experiments.store import StoreError
from dit_grid.experiments.training.context import Progress
from dit_grid.orchestrator.backends.contract import has_ended, newest_checkpoint, now
from dit_grid.orchestrator.backends.ray.bringing_up import bring_up, first_line, reservation
from dit_grid.orchestrator.backends.ray.held import LOOK_S, Ground, Held, Rank
from dit_grid.orchestrator.backends.ray.placement import CannotStartError
from dit_grid.orchestrator.backends.run_log import RunLog
from dit_grid.orchestrator.backends.worker import LOST, RankStatus
from dit_grid.orchestrator.core.events import (
    Gang,
    GangGone,
    GangStarted,
    Progressed,
    RankEnded,
    RankLost,
    StartFailed,
)

WORD_S = 2.0
"""A process that has nothing new says so after this long; its silence is heard within it."""

CHECKPOINT_LOOK_S = 2.0
"""How often the store is asked for the newest checkpoint of a run that trains."""

CAUSE_S = 3.0
"""How long a lost process waits for its host to be found lost too, which is then the cause."""


class GangRun:
    """A gang at work. Make one with `started` or, of processes that are there already, with `adopted`."""

    def __init__(self, ground: Ground, gang: Gang, run: AnyRun, slice_name: str | None) -> None:
        self.ground, self.gang, self.run, self.slice = ground, gang, run, slice_name
        self.progress: Progress | None = None
        self.gone = threading.Event()
        self._held = Held()
        self._stop_asked, self._kill_asked, self._detached = (threading.Event() for _ in range(3))
        self._stacks = self._healthy = self._up = False
        self._checkpoint, self._looked = 0, 0.0

    def started(self) -> "GangRun":
        """Bring the gang up on a thread of its own."""
        return self._on_a_thread(self._bring_up)

    def adopted(self, ranks: list[Rank], group: Any) -> "GangRun":
        """Go on with processes that an earlier driver started; a rank without an actor is lost."""
        self._held, self._up = Held(ranks, group), True
        return self._on_a_thread(lambda: None)

    def ask_to_stop(self) -> None:
        """Ask every process to write a checkpoint and end; one that is still coming up is told when it is there."""
        self._stop_asked.set()
        for rank in self._held.ranks:
            if rank.actor is not None:
                rank.actor.stop.remote()

    def kill(self, stacks: bool) -> None:
        """End every process now, saving their stacks first if asked."""
        self._stacks = stacks
        self._kill_asked.set()

    def detach(self) -> None:
        """Let go of the gang; its processes go on."""
        self._detached.set()

    def _on_a_thread(self, begin: Callable[[], None]) -> "GangRun":
        name = reservation(self.ground, self.gang)
        threading.Thread(target=self._live, args=(begin,), name=name, daemon=True).start()
        return self

    def _live(self, begin: Callable[[], None]) -> None:
        """Be the gang's thread: whatever fails here, nothing of the gang is left behind and the driver is told."""
        failed: CannotStartError | None = None
        try:
            begin()
            self._watch()
        except CannotStartError as error:
            failed = error
        except Exception as error:  # of Ray's own; the driver's retries are for just that
            failed = CannotStartError(f"{type(error).__name__}: {first_line(error)}")
        if self._detached.is_set():
            return
        if failed is not None and self._up:
            for number in (number for number, rank in enumerate(self._held.ranks) if not rank.over):
                self._lose(number, "unreachable", str(failed))
        self._end_everything()
        self.gone.set()
        if failed is not None and not self._up and not self._kill_asked.is_set():
            self.ground.emit(StartFailed(now(), self.gang, str(failed), failed.permanent))
        else:
            self.ground.emit(gone_word(self.ground, self.gang, self._checkpoint))

    def _bring_up(self) -> None:
        bring_up(self._held, self.ground, self.gang, self.run, self.slice, self._kill_asked.is_set)
        self._up = True
        self.ground.emit(GangStarted(now(), self.gang, self.slice))
        if self._stop_asked.is_set():
            self.ask_to_stop()

    def _watch(self) -> None:
        """Hear every process out until all are over, or the gang is to be killed."""
        for number, rank in enumerate(self._held.ranks):
            if rank.actor is None:
                self._lose(number, "process", "it was gone when this driver came")
            else:
                rank.asked = rank.actor.status.remote(rank.seen, 0.0)
        while not all(rank.over for rank in self._held.ranks):
            self._notice_lost_hosts()
            if self._kill_asked.is_set() or self._detached.is_set():
                return
            asked = {rank.asked: number for number, rank in enumerate(self._held.ranks) if not rank.over}
            if asked:
                heard = ray.wait(list(asked), num_returns=1, timeout=LOOK_S)[0]
                if heard:  # take all that is there
                    heard = ray.wait(list(asked), num_returns=len(asked), timeout=0)[0]
                for reference in heard:
                    self._hear(asked[reference], reference)

    def _hear(self, number: int, reference: Any) -> None:
        rank = self._held.ranks[number]
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
            for rank in self._held.ranks[1:]:
                if rank.actor is not None:
                    rank.actor.attempt_is.remote(progress.attempt)
        self.progress = progress
        if time.monotonic() - self._looked > CHECKPOINT_LOOK_S:
            self._looked = time.monotonic()
            with contextlib.suppress(StoreError, OSError):  # the last one known will do
                self._checkpoint = newest_checkpoint(self.ground.store, self.gang.run_id)
        self.ground.emit(Progressed(now(), self.gang, progress.step, self._checkpoint, progress.activity))

    def _notice_lost_hosts(self) -> None:
        gone = self.ground.watch.gone([facts.node for facts in self._held.facts()])
        for number, rank in enumerate(self._held.ranks):
            if gone and not rank.over and rank.facts is not None and rank.facts.node in gone:
                cause = "drain" if rank.facts.node in self.ground.watch.draining else "host"
                self._lose(number, cause, f"host {rank.facts.address} does not answer")

    def _lose(self, number: int, cause: str, message: str) -> None:
        self._held.ranks[number].over, self._healthy = True, False
        self.ground.emit(RankLost(now(), self.gang, number, cause, message))

    def _cause(self, rank: Rank, error: RayError) -> tuple[str, str]:
        """Return why a process does not answer. Its host's end is looked for first: it is noticed a moment later."""
        watch, node = self.ground.watch, rank.facts.node if rank.facts else ""
        on, deadline = [node] if node else [], time.monotonic() + CAUSE_S
        while not watch.gone(on) and time.monotonic() < deadline and not self._process_is_known_dead(error):
            time.sleep(LOOK_S)
        if node in watch.draining or getattr(error, "preempted", False):
            return "drain", f"its host was taken away: {first_line(error)}"
        if watch.gone(on):
            return "host", f"its host is gone: {first_line(error)}"
        return "unreachable" if isinstance(error, ActorUnavailableError) else "process", first_line(error)

    def _process_is_known_dead(self, error: RayError) -> bool:
        """Whether a raylet that is alive told how its process ended; one that died with its host tells nothing."""
        return "worker process has died" in str(error)

    def _end_everything(self) -> None:
        """Give a healthy process of this machine back for the next run; end all others."""
        if self._held.host is not None and self.ground.local is not None and self._healthy:
            self.ground.local.give_back(self._held.host, usable=True)
            return
        if self._stacks:
            self._save_stacks()
        self._held.end(self.ground)

    def _save_stacks(self) -> None:
        """Write the stacks of every process that can still show them into its log."""
        if self.progress is None:
            return
        for number, rank in enumerate(self._held.ranks):
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
