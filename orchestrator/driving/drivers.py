"""Who drives a grid: the one process that holds the store's lease; everybody else watches it from the store.

On this machine the launching process drives. On a cluster a controller there does, so that the laptop may be closed.
Deciding is `core`'s, executing a backend's.
"""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import click

from dit_grid.experiments.spec import AnyRun, BudgetSpec, ExperimentSpec
from dit_grid.experiments.store import NotAStoreError, Store
from dit_grid.orchestrator import core
from dit_grid.orchestrator.advice.until import adviser
from dit_grid.orchestrator.backends.contract import Backend
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.control.lease import Ended, Held, Lease, Watcher, newest_number
from dit_grid.orchestrator.control.requests import Inbox
from dit_grid.orchestrator.driving.attach import attach
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.work import check_placeable, record_runs, unfinished
from dit_grid.orchestrator.screen.grid import Grid
from dit_grid.orchestrator.screen.status import median_speeds

CONTROLLER_START_S = 120.0
"""How long a controller may take to come up on a cluster: a worker process, and the wheel's installation."""

Show = Callable[[Grid], None]
Display = Callable[[], AbstractContextManager[Show]]


@dataclass(frozen=True)
class Finish:
    """How a launch ended: the scheduler's last state if this process drove, else what the other driver said."""

    state: core.State | None = None
    other: Ended | None = None


def launch_here(spec: ExperimentSpec, display: Display) -> Finish:
    """Drive the grid from this process, with a Ray of its own, or watch the process that already does, to the end.

    A driver that dies meanwhile is replaced by this process. Raises RequestError if this machine cannot hold the runs.
    """
    while True:
        ended = _watched(spec)
        if ended is not None and not _left(spec, ended):
            return Finish(other=ended)
        state = _driven_here(spec, display)
        if state is not None:
            return Finish(state)


def launch_on_cluster(spec: ExperimentSpec, address: str) -> Finish:
    """Start a controller for the grid on the Ray cluster, unless one drives it already, and watch it to the end."""
    from dit_grid.orchestrator.backends.ray import RayBackend
    from dit_grid.orchestrator.driving.controller import start_controller

    ended = _watched(spec)
    while ended is None or _left(spec, ended):
        backend = RayBackend(absolute(spec.store), address)
        try:
            check_placeable(unfinished(spec), backend.cluster())
            store = Store.create(spec.store)
            record_runs(spec, store)
            before = newest_number(store.files)
            start_controller(spec)
            _wait_for_driver(store, before)
        finally:
            backend.detach()
        ended = attach(store, Watcher(store))
    return Finish(other=ended)


def drive_under(lease: Lease, spec: ExperimentSpec, store: Store, backend: Backend, show: Show) -> core.State | None:
    """Drive what is unfinished while the lease is held, and end it; None if the lease was lost on the way.

    Raises what the driver raises, once those who watch it have been told.
    """
    todo = unfinished(spec)

    def show_and_note(grid: Grid) -> None:
        if lease.note_is_old:
            lease.note = {"waits": waits(grid.state)}
        show(grid)

    speeds = median_speeds(store) if spec.cluster.budget != BudgetSpec() else {}
    with lease:
        try:
            state = drive(
                todo, store, backend, show_and_note, cluster=spec.cluster, price=spec.plan, speeds=speeds,
                requests=Inbox(store.files).events, advise=adviser(spec, store), holds=lambda: lease.holds,
            )  # fmt: skip
        except Exception as error:
            lease.end({"outcome": "failed", "message": f"{type(error).__name__}: {error}"})
            raise
        if not lease.holds:
            return None
        lease.end(_said(state, todo))
    return state


def absolute(store: str) -> str:
    """Return the store so that a process in another folder finds it."""
    return store if "://" in store else os.path.abspath(store)


def _watched(spec: ExperimentSpec) -> Ended | None:
    """Watch another driver to its end, if there is one at work; None if there is none, or it died."""
    try:
        store = Store.open(spec.store)
    except NotAStoreError:
        return None
    watcher = Watcher(store)
    driver = watcher.look()
    if not isinstance(driver, Held):
        return None
    who = driver.holder
    click.echo(f"{spec.name} is driven by process {who.get('pid')} on {who.get('host')}; watching it")
    ended = attach(store, watcher)
    if ended is None:
        click.echo("that driver is gone; going on here")
    return ended


def _left(spec: ExperimentSpec, ended: Ended) -> list[AnyRun]:
    """Return what is unfinished and was not part of the other launch; what failed there is not tried again unasked."""
    theirs = set(ended.detail.get("runs", ()))
    return [run for run in unfinished(spec) if run.id not in theirs]


def _driven_here(spec: ExperimentSpec, display: Display) -> core.State | None:
    from dit_grid.orchestrator.backends.ray import RayBackend

    backend = RayBackend(absolute(spec.store))
    try:
        check_placeable(unfinished(spec), backend.cluster())
        store = Store.create(spec.store)
        record_runs(spec, store)
        lease = Watcher(store).take()
        if lease is None:
            return None  # somebody was faster
        with display() as show:
            return drive_under(lease, spec, store, backend, show)
    finally:
        backend.close()


def _wait_for_driver(store: Store, before: int) -> None:
    """Return once a driver later than number `before` came. Raises RequestError if none does."""
    until = time.monotonic() + CONTROLLER_START_S
    while newest_number(store.files) <= before:
        if time.monotonic() > until:
            raise RequestError(
                f"no controller came up on the cluster within {CONTROLLER_START_S:.0f} s; is the store "
                f"{store.paths.root} reachable from it? `dit-grid doctor --address` looks at the cluster"
            )
        time.sleep(0.5)


def _said(state: core.State, todo: list[AnyRun]) -> dict[str, Any]:
    """Return what a driver leaves for those who watch it."""
    phases = {run.id: str(run.phase) for run in state.in_order()}
    outcome = "stopped" if state.stopping else "ended"
    runs = [run.id for run in todo]
    return {"outcome": outcome, "runs": runs, "phases": phases, "enough": state.enough, "waits": waits(state)}


def waits(state: core.State) -> dict[str, list[str]]:
    """Return reason -> the runs that wait for it, in the order of launching; many share one."""
    found: dict[str, list[str]] = {}
    for run in state.in_order():
        if reason := core.why(state, run.id):
            found.setdefault(reason, []).append(run.id)
    return found
