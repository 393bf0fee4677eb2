"""The process a run, or one host's part of it, executes in: told its environment before JAX is imported, watched while
it trains.

It knows nothing of scheduling; `backends.ray` makes it a Ray actor. Everything it prints goes to the run's log.
"""

import contextlib
import faulthandler
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dit_grid.experiments.data.remote import user_cache
from dit_grid.experiments.running.owed_evaluations import job_from_json
from dit_grid.experiments.spec.any_run import AnyRun
from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.store import Store, StorePaths
from dit_grid.experiments.store.paths import PROGRAMS
from dit_grid.experiments.training.context import Context, Progress
from dit_grid.orchestrator.backends.contract import attempt
from dit_grid.orchestrator.backends.processes import birth
from dit_grid.orchestrator.backends.run_log import RunLog
from dit_grid.orchestrator.planning import peaks

LOST = "lost"
"""The outcome of a process that could not meet the others of its gang; that is no fault of the run's."""

MEET_S = 120
"""How long the processes of a gang wait for each other."""

WHEEL_VARIABLE = "DIT_GRID_WHEEL_SHA256"
"""Where a launch on a cluster says which build of this program it shipped."""

LINGER_S = 600.0
"""How long a process that outlives its driver waits for another to ask how its run ended, before it frees its host."""


@dataclass(frozen=True)
class Place:
    """A process's place in its gang: its rank among `world`, and where rank 0 listens for the others."""

    rank: int = 0
    world: int = 1
    coordinator: str = ""


@dataclass(frozen=True)
class Facts:
    """What identifies the process: its pid and that pid's birth (a pid is used again), its host, a free port there.

    `stacks` is the descriptor of the file where it writes its stacks when it gets SIGUSR1.
    """

    pid: int
    birth: int
    node: str
    address: str
    port: int
    stacks: int


@dataclass(frozen=True)
class RankStatus:
    """Where the process stands: `outcome` is empty while it works; `version` grows with every change."""

    version: int = 0
    progress: Progress | None = None
    outcome: str = ""
    step: int = 0
    message: str = ""


class Worker:
    """Executes one rank of one run at a time on a thread, so that it can be asked and told things meanwhile."""

    def __init__(
        self,
        where: str,
        cores: tuple[int, ...] = (),
        facts: Mapping[str, object] | None = None,
        outlives_its_driver: bool = False,
    ) -> None:
        if cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)  # before JAX sizes its thread pools by what it sees
        self._stacks = tempfile.TemporaryFile("w")  # noqa: SIM115  (read by way of /proc; nothing of it is left)
        faulthandler.register(signal.SIGUSR1, self._stacks, all_threads=True)  # answers even where Python hangs
        self.store = Store.open(where)
        shipped = os.environ.get(WHEEL_VARIABLE)
        self._facts = {**(facts or {}), **({"wheel_sha256": shipped} if shipped else {})}
        self._lingers = outlives_its_driver
        self._change = threading.Condition()
        self._status = RankStatus()
        self._log: RunLog | None = None
        self._stop = threading.Event()
        self._asked = time.monotonic()

    def facts(self) -> Facts:
        """Return what identifies this process; its port was free a moment ago."""
        import ray

        address = ray.util.get_node_ip_address()
        with socket.socket() as free:
            free.bind((address, 0))
            port = free.getsockname()[1]
        node = ray.get_runtime_context().get_node_id()
        return Facts(os.getpid(), birth(os.getpid()), node, address, port, self._stacks.fileno())

    def begin(self, spec: str, place: Place | None = None) -> None:
        """Begin the run spec (JSON) as the given rank of its gang; `status` tells how it goes."""
        run, place = job_from_json(spec), place or Place()
        self._stop.clear()
        self._log = RunLog(self.store, run.id, place.rank)
        self._update(lambda status: RankStatus(status.version))
        threading.Thread(target=self._execute, args=(run, place, self._log), name="run", daemon=True).start()

    def status(self, seen: int = -1, wait_s: float = 0.0) -> RankStatus:
        """Return where the run stands, waiting up to `wait_s` for it to differ from version `seen`."""
        with self._change:
            self._asked = time.monotonic()
            self._change.wait_for(lambda: self._status.version != seen, wait_s)
            return self._status

    def attempt_is(self, number: int) -> None:
        """Tell a process that is not rank 0 which attempt it works on; its log is named by it."""
        if self._log is not None:
            self._log.begin(number)

    def stop(self) -> None:
        """Ask the run under way to write a checkpoint and end."""
        self._stop.set()

    def _execute(self, run: AnyRun, place: Place, log: RunLog) -> None:
        """Execute the attempt; whatever happens ends in a status, for nobody waits for this thread."""

        def report(progress: Progress) -> None:
            log.progress(progress)
            self._update(lambda status: replace(status, progress=progress))

        with log.capturing():
            own = isinstance(run, TrainerRun)  # whose processes meet by themselves, and have the devices to themselves
            try:
                if not own:
                    _meet(place)
            except Exception as error:
                traceback.print_exc()
                ended = RankStatus(outcome=LOST, message=f"{type(error).__name__}: {error}")
            else:
                resources = run.execution.resources
                peak = peaks.peak_flops_per_s(resources) if own else peak_flops_per_s(resources.count)
                context = Context(
                    self.store, report, self._stop.is_set, peak, self._facts, place.rank, place.world, place.coordinator
                )
                outcome = attempt(run, context)
                ended = RankStatus(outcome=outcome.outcome, step=outcome.step, message=outcome.message)
        log.line(f"{ended.outcome} after step {ended.step} {ended.message}".rstrip())
        log.close()
        self._update(lambda status: replace(ended, version=status.version, progress=status.progress))
        if self._lingers:
            threading.Thread(target=self._leave_if_forgotten, args=(place.rank,), name="linger", daemon=True).start()

    def _update(self, change: Callable[[RankStatus], RankStatus]) -> None:
        with self._change:
            self._status = replace(change(self._status), version=self._status.version + 1)
            self._change.notify_all()

    def _leave_if_forgotten(self, rank: int) -> None:
        """Free the hosts if no driver asks how the run ended; the store knows, so nothing is lost with this process."""
        version = self._status.version
        while self._status.version == version:
            time.sleep(1.0)
            if time.monotonic() - self._asked > LINGER_S:
                import ray

                group = ray.util.get_current_placement_group()
                if group is not None and rank == 0:
                    with contextlib.suppress(Exception):  # another rank may have been first
                        ray.util.remove_placement_group(group)
                os._exit(0)


def _meet(place: Place) -> None:
    """Join the gang's other processes; alone there is nobody to meet."""
    if place.world > 1:
        import jax

        jax.distributed.initialize(place.coordinator, place.world, place.rank, initialization_timeout=MEET_S)


def peak_flops_per_s(cores: int) -> float | None:
    """Return the peak of the run's devices together: published for accelerators, measured for its CPU cores."""
    import jax

    from dit_grid.model import accounting

    devices = jax.devices()
    if devices[0].platform == "cpu":
        return peaks.measured_core_flops_per_s() * cores
    peak = accounting.device_peak(devices[0].device_kind)
    return peak.flops_per_s * len(devices) if peak else None


def compilation_cache() -> Path:
    """Return the folder of this user where compiled programs are kept between launches."""
    return user_cache() / f"xla-py{sys.version_info.major}{sys.version_info.minor}"


def shared_programs(run: AnyRun, where: str) -> str:
    """Return where the hosts of a gang keep compiled programs: in the store, where all later gangs look too.

    Of the processes of a run only the first writes what it compiled (jax 0.10), so that in folders of their own all
    others would compile at every start. Programs for cores are made for one host's instructions, and stay with it.
    """
    if run.execution.resources.kind == "cpu":
        return str(compilation_cache())
    return StorePaths(where).full(PROGRAMS)
