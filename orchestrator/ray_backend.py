"""Runs on a Ray cluster, or on this machine with a Ray of its own: one actor a run, restarted or reused between runs.

Decides nothing: it does what `core` says and reports what became of it. Ray is imported only when a backend is made.
"""

import logging
import os
import time
from dataclasses import dataclass
from typing import Any

from dit_grid.experiments.context import Progress
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.backend import Update, newest_checkpoint
from dit_grid.orchestrator.core import LOST, Ended
from dit_grid.orchestrator.worker import Worker, compilation_cache, environment


@dataclass
class _Host:
    """A worker process: its Ray actor, the cores it is pinned to, and the variables it was started with."""

    actor: Any
    cores: tuple[int, ...]
    variables: dict[str, str]


@dataclass
class _Running:
    """A run at work: its host, the reference of its result, and the reference of the progress asked for last."""

    host: _Host
    result: Any
    asked: Any = None
    progress: Progress | None = None


class RayBackend:
    """Executes runs as Ray actors. With no `address` it starts a Ray on this machine that ends with this process."""

    def __init__(self, where: str, address: str | None = None) -> None:
        # Under `uv run` Ray would pack the working folder and build an environment for each worker; the workers of
        # this machine use the interpreter and the packages of this process.
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the behaviour later Rays have; quiet
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self.ray, self.where, self.local = ray, where, address is None
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.local:
            options |= {"num_cpus": len(_usable_cores()), "include_dashboard": False}
        ray.init(address=address, **options)
        self._running: dict[str, _Running] = {}
        self._idle: list[_Host] = []
        self._free_cores = list(_usable_cores()) if self.local else []

    def capacity(self) -> dict[str, int]:
        """Return CPU cores, GPUs and whole TPU slices of the cluster, by kind."""
        total = self.ray.cluster_resources()
        counts = {"cpu": int(total.get("CPU", 0)), "gpu": int(total.get("GPU", 0))}
        slices = {
            name.removeprefix("TPU-").removesuffix("-head"): int(count)
            for name, count in total.items()
            if name.startswith("TPU-") and name.endswith("-head")
        }
        return {kind: count for kind, count in (counts | slices).items() if count}

    def start(self, run: RunSpec) -> None:
        host = self._host(run)
        result = host.actor.execute.remote(run.model_dump_json())
        self._running[run.id] = _Running(host, result)

    def stop(self, run_id: str) -> None:
        if run_id in self._running:
            self._running[run_id].host.actor.stop.remote()

    def poll(self, timeout_s: float) -> Update:
        results = {running.result: run_id for run_id, running in self._running.items()}
        if not results:
            time.sleep(timeout_s)
            return Update()
        ready, _ = self.ray.wait(list(results), num_returns=len(results), timeout=0)
        if not ready:
            ready, _ = self.ray.wait(list(results), num_returns=1, timeout=timeout_s)
        ended = tuple(self._ended(results[reference]) for reference in ready)
        return Update(ended, self._progress())

    def close(self) -> None:
        """End every worker; on this machine also Ray itself."""
        for run_id in list(self._running):
            self._kill(self._running.pop(run_id).host)
        for host in self._idle:
            self._kill(host)
        self._idle.clear()
        self.ray.shutdown()

    def _host(self, run: RunSpec) -> _Host:
        """Return a process for the run: on CPU cores an idle one if its settings fit, on accelerators a fresh one."""
        resources = run.execution.resources
        variables = environment(run, compilation_cache())
        fitting = [h for h in self._idle if h.variables == variables and resources.kind == "cpu"]
        if fitting:
            self._idle.remove(fitting[0])
            return fitting[0]
        while self._idle:  # none fits; what they hold must be free for the new one
            self._kill(self._idle.pop())
        cores = tuple(self._free_cores[: resources.count]) if resources.kind == "cpu" else ()
        del self._free_cores[: len(cores)]
        needs = {"cpu": {"num_cpus": resources.count}, "gpu": {"num_cpus": 1, "num_gpus": resources.count}}
        actor = (
            self.ray.remote(Worker)
            .options(**needs[resources.kind], max_concurrency=2, runtime_env={"env_vars": variables})
            .remote(self.where, cores)
        )
        return _Host(actor, cores, variables)

    def _ended(self, run_id: str) -> Ended:
        """Take the result of a run whose reference is ready; a process that went away is a lost attempt."""
        running = self._running.pop(run_id)
        try:
            ended = self.ray.get(running.result)
        except self.ray.exceptions.RayError as error:
            self._kill(running.host)
            cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            return Ended(run_id, LOST, newest_checkpoint(Store.open(self.where), run_id), cause)
        if ended.outcome == "done":
            self._idle.append(running.host)
        else:
            self._kill(running.host)  # what a failed run left in the process is nobody's to trust
        return ended

    def _progress(self) -> tuple[Progress, ...]:
        """Collect the progress asked for at the last poll and ask again; a busy worker is simply not heard of."""
        for running in self._running.values():
            if running.asked is not None:
                ready, _ = self.ray.wait([running.asked], timeout=0)
                if not ready:
                    continue
                try:
                    running.progress = self.ray.get(running.asked)
                except self.ray.exceptions.RayError:
                    continue  # its result will say why
            running.asked = running.host.actor.progress.remote()
        return tuple(r.progress for r in self._running.values() if r.progress is not None)

    def _kill(self, host: _Host) -> None:
        self.ray.kill(host.actor)
        self._free_cores.extend(host.cores)


def _usable_cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
