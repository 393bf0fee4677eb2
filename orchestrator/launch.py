"""The main job: bring every run of a spec to its end, from wherever an earlier launch left it.

This loop owns no decision and no state worth keeping: `core` decides, the store remembers, and killing this process at
any instant loses nothing that was committed.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import FrameType

from dit_grid.experiments.context import Progress, code_sha256
from dit_grid.experiments.spec import ExperimentSpec, RunSpec
from dit_grid.experiments.store import EventWriter, NotAStoreError, Store
from dit_grid.model import accounting
from dit_grid.orchestrator import core
from dit_grid.orchestrator.backend import Backend, Update, newest_checkpoint
from dit_grid.orchestrator.errors import RequestError

POLL_S = 0.5
"""How long to wait for news before looking at progress again."""


@dataclass(frozen=True)
class Grid:
    """What a display needs to draw: the scheduler's state, the newest word of each run, and how long it has been going.

    `first_steps` says from which checkpoint each run went on when the launch began.
    """

    runs: tuple[RunSpec, ...]
    state: core.State
    progress: dict[str, Progress]
    first_steps: dict[str, int]
    elapsed_s: float


def record_runs(spec: ExperimentSpec, store: Store) -> None:
    """Put every run of the spec into the store's runs table; a run that is there already stays as it is."""
    known = set(store.runs()["run_id"].to_pylist())
    for run in spec.runs:
        if run.id not in known:
            store.add_run(run_row(spec, run))


def run_row(spec: ExperimentSpec, run: RunSpec) -> dict[str, object]:
    """Return the run's row of `records.RUNS`; costs come from `model.accounting` alone."""
    model, network = run.model, run.network
    return {
        "run_id": run.id,
        "experiment": spec.name,
        "model": model.name,
        **model.model_dump(include={"size", "patch", "block", "image_size", "channels", "classes"}),
        **model.model_dump(include={"width", "depth", "heads"}),
        "tokens": network.tokens,
        "params": accounting.trainable_params(network),
        "forward_macs": accounting.forward_macs(network),
        "batch": run.train.batch,
        "steps": run.train.steps,
        "seed": run.seed,
        "dataset": run.data.name,
        "spec": json.dumps(run.identity(), sort_keys=True),
        "code_sha256": code_sha256(),
    }


def unfinished(spec: ExperimentSpec) -> list[RunSpec]:
    """Return the spec's runs that its store, if there is one, does not hold to the end."""
    try:
        states = Store.open(spec.store).states()
    except NotAStoreError:
        states = {}
    return [run for run in spec.runs if run.id not in states or states[run.id].outcome != "done"]


def check_placeable(runs: list[RunSpec], capacity: dict[str, int]) -> None:
    """Raise RequestError, in a few lines, if some run cannot execute on the cluster, before anything is started."""
    needs: dict[tuple[str, int], list[str]] = {}
    for run in runs:
        resources = run.execution.resources
        if resources.count > capacity.get(resources.kind, 0):
            needs.setdefault((resources.kind, resources.count), []).append(run.model.name)
    if not needs:
        _check_supported(runs)
        return
    has = ", ".join(f"{count} x {kind}" for kind, count in sorted(capacity.items()))
    lines = [f"the cluster cannot hold {sum(map(len, needs.values()))} of {len(runs)} runs; it has {has}"]
    lines += [f"  {count} x {kind} each: {', '.join(names)}" for (kind, count), names in needs.items()]
    lines.append("  connect to a cluster that has them with --address, or change execution.resources in the spec")
    raise RequestError("\n".join(lines))


def _check_supported(runs: list[RunSpec]) -> None:
    """Refuse what the backend cannot do yet: gangs over the hosts of a slice."""
    slices = sorted({run.execution.resources.slice for run in runs if run.execution.resources.slice})
    if slices:
        raise RequestError(
            f"runs ask for {', '.join(slices)}, but this version cannot start a run on the hosts of a TPU slice yet; "
            "set execution.resources to gpus or cpus"
        )


def drive(
    runs: list[RunSpec], store: Store, backend: Backend, show: Callable[[Grid], None] = lambda grid: None
) -> core.State:
    """Drive the runs to their end on the backend, or to a stop by SIGINT or SIGTERM, and return the last state.

    `show` is called after every poll. A second signal ends at once and leaves runs where their last checkpoint is.
    """
    specs = {run.id: run for run in runs}
    started, progress = time.monotonic(), dict[str, Progress]()
    first_steps = {run.id: newest_checkpoint(store, run.id) for run in runs}
    state = core.initial(_as_core_run(run, first_steps[run.id]) for run in runs)
    journal = f"driver-{socket.gethostname()}-{os.getpid()}-{int(time.time())}"
    with store.journal(journal) as events, stop_signals() as stop_asked:
        pending: list[core.Event] = [core.CapacityChanged(backend.capacity())]
        while True:
            for event in pending:
                state, actions = core.advance(state, event)
                _record(events, event, actions)
                _act(backend, specs, actions)
            show(Grid(tuple(runs), state, dict(progress), first_steps, time.monotonic() - started))
            if state.finished:
                return state
            update = backend.poll(POLL_S)
            progress |= {item.run_id: item for item in update.progress}
            pending = _events(update, stop=stop_asked() and not state.stopping)


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into a wish that the loop asks for; the second raises KeyboardInterrupt."""
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_core_run(run: RunSpec, step: int) -> core.Run:
    execution = run.execution
    kind, count = execution.resources.kind, execution.resources.count
    return core.Run(run.id, kind, count, execution.priority, execution.max_retries, step=step)


def _events(update: Update, stop: bool) -> list[core.Event]:
    return [*update.ended, *([core.StopAsked()] if stop else [])]


def _act(backend: Backend, specs: dict[str, RunSpec], actions: tuple[core.Action, ...]) -> None:
    for action in actions:
        if isinstance(action, core.Start):
            backend.start(specs[action.run_id])
        else:
            backend.stop(action.run_id)


def _record(events: EventWriter, event: core.Event, actions: tuple[core.Action, ...]) -> None:
    """Write what happened and what was decided; the journal explains a launch, it is not needed to go on."""
    detail = asdict(event)
    events.event(type(event).__name__, run_id=detail.pop("run_id", ""), **detail)
    for action in actions:
        events.event(type(action).__name__, run_id=action.run_id)
