"""The process a run executes in: told its environment before JAX is imported, asked for progress while it trains.

It knows nothing of scheduling; `ray_backend` makes it a Ray actor. Everything it prints goes to the run's log.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from dit_grid.experiments.context import Context, Progress
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.store import Store, StorePaths
from dit_grid.orchestrator.backend import attempt
from dit_grid.orchestrator.core import Ended
from dit_grid.orchestrator.plan import measured_core_flops_per_s


def environment(run: RunSpec, cache: Path) -> dict[str, str]:
    """Return the environment variables that a worker for this run starts with.

    A run on CPU cores gets exactly its own: numerical libraries that each start a thread a core would fight, and the
    order of a parallel sum would depend on the machine.
    """
    variables = {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    if run.execution.resources.kind == "cpu":
        cores = run.execution.resources.count
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(cores))
        flags = "--xla_cpu_multi_thread_eigen=false" if cores == 1 else ""
        variables |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, **threads}
    return variables


class Worker:
    """Executes attempts of runs, one after another. `progress` and `stop` may be called while `execute` is at work."""

    def __init__(self, where: str, cores: tuple[int, ...] = ()) -> None:
        if cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)  # before JAX sizes its thread pools by what it sees
        self.store = Store.open(where)
        self._progress: Progress | None = None
        self._stop = threading.Event()

    def execute(self, spec: str) -> Ended:
        """Execute one attempt of the run spec (JSON) and return how it ended."""
        run = RunSpec.model_validate_json(spec)
        self._stop.clear()
        self._progress = None
        log = RunLog(self.store, run.id)

        def report(progress: Progress) -> None:
            self._progress = progress
            log.progress(progress)

        context = Context(self.store, report, self._stop.is_set, peak_flops_per_s(run.execution.resources.count))
        with log.capturing():
            ended = attempt(run, context)
        log.line(f"{ended.outcome} after step {ended.step} {ended.message}".rstrip())
        log.close()
        return ended

    def progress(self) -> Progress | None:
        """Return where the run under way stands; None before its first word."""
        return self._progress

    def stop(self) -> None:
        """Ask the run under way to write a checkpoint and end."""
        self._stop.set()


class RunLog:
    """A run's log: one line a report, and whatever is printed meanwhile. Lines wait until the attempt has a number."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.store, self.run_id = store, run_id
        self._waiting: list[str] = []
        self._path: Path | None = None

    def progress(self, progress: Progress) -> None:
        """Write a line about `progress`."""
        if self._path is None:
            self._open(progress.attempt)
        facts = [f"loss {progress.loss:.4f}"] if progress.loss is not None else []
        facts += [f"{progress.steps_per_s:.1f} it/s"] if progress.steps_per_s else []
        facts += [f"{name} {value:.4g}" for name, value in progress.metrics.items()]
        self.line(f"step {progress.step}/{progress.steps} {progress.activity} {', '.join(facts)}".rstrip())

    def line(self, text: str) -> None:
        """Write one line with the time before it."""
        self.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def write(self, text: str) -> int:
        """Write text as it is; the log serves as standard output and error of the run."""
        if self._path is None:
            self._waiting.append(text)
        else:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: every write is flushed."""

    def close(self) -> None:
        """Write what still waits for an attempt's number, under the newest attempt."""
        if self._waiting:
            records = self.store.attempts(self.run_id)
            self._open(records[-1].attempt.number if records else 0)

    @contextlib.contextmanager
    def capturing(self) -> Iterator[None]:
        """Send standard output and error to this log meanwhile."""
        with contextlib.redirect_stdout(self), contextlib.redirect_stderr(self):
            yield

    def _open(self, attempt_number: int) -> None:
        self._path = Path(self.store.paths.full(StorePaths.log(self.run_id, attempt_number)))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        waiting, self._waiting = self._waiting, []
        self.write("".join(waiting))


def peak_flops_per_s(cores: int) -> float | None:
    """Return the peak of this process's devices together: published for accelerators, measured for its CPU cores."""
    import jax

    from dit_grid.model import accounting

    devices = jax.devices()
    if devices[0].platform == "cpu":
        return measured_core_flops_per_s() * cores
    peak = accounting.device_peak(devices[0].device_kind)
    return peak.flops_per_s * len(devices) if peak else None


def compilation_cache() -> Path:
    """Return the folder where compiled programs are kept between launches."""
    base = os.environ.get("XDG_CACHE_HOME") or (Path.home() / ".cache")
    return Path(base) / "dit-grid" / f"xla-py{sys.version_info.major}{sys.version_info.minor}"
