"""Who drives a grid: the one process that holds the store's lease; everybody else watches it from the store.

On this machine the launching process drives. On a cluster a controller there does, so that the laptop may be closed.
Deciding is `core`'s, executing a backend's.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import click

from dit_grid.experiments.spec import AnyRun, ExperimentSpec
from dit_grid.experiments.store import NotAStoreError, Store
from dit_grid.model.entry_points import EntryPointError, loaded, registered
from dit_grid.orchestrator import core
from dit_grid.orchestrator.backends.contract import Backend
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.control.lease import Ended, Held, Watcher, newest_number
from dit_grid.orchestrator.driving.attach import attach
from dit_grid.orchestrator.driving.under_lease import Show, absolute, drive_under
from dit_grid.orchestrator.planning.work import check_placeable, record_runs, unfinished

CONTROLLER_START_S = 120.0
"""How long a controller may take to come up on a cluster: a worker process, and the wheel's installation."""

Display = Callable[[], AbstractContextManager[Show]]


@dataclass(frozen=True)
class Finish:
    """How a launch ended: the scheduler's last state if this process drove, else what the other driver said."""

    state: core.State | None = None
    other: Ended | None = None


def launch_here(spec: ExperimentSpec, display: Display, backend: str | None = None) -> Finish:
    """Drive the grid from this process, with a Ray of its own, or watch the process that already does, to the end.

    A driver that dies or falls silent meanwhile is replaced by this process, and so is this one, once it was frozen for
    so long that it lost the lease. Raises RequestError if this machine cannot hold the runs.
    """
    watcher = _watcher(spec)
    while True:
        ended = _watched(spec, watcher) if watcher is not None else None
        if ended is not None and not _left(spec, ended):
            return Finish(other=ended)
        state, watcher = _driven_here(spec, display, watcher, backend)
        if state is not None:
            return Finish(state)


def launch_on_cluster(spec: ExperimentSpec, address: str, ask: Callable[[], None] = lambda: None) -> Finish:
    """Start a controller for the grid on the Ray cluster, unless one drives it already, and watch it to the end.

    `ask` is called before anything is started, and not where another driver is at work.
    """
    from dit_grid.orchestrator.backends.ray import RayBackend
    from dit_grid.orchestrator.driving.controller import start_controller

    watcher = _watcher(spec)
    ended = _watched(spec, watcher) if watcher is not None else None
    if ended is None or _left(spec, ended):
        ask()
    while ended is None or _left(spec, ended):
        backend = RayBackend(absolute(spec.store), address)
        try:
            check_placeable(unfinished(spec), backend.cluster())
            watcher = watcher or Watcher(Store.create(spec.store), spec.cluster.lease_s)
            record_runs(spec, watcher.store)
            before = newest_number(watcher.store.files)
            start_controller(spec, after=before)
            _wait_for_driver(watcher.store, before)
        finally:
            backend.detach()
        ended = attach(watcher.store, watcher)
    return Finish(other=ended)


def _watcher(spec: ExperimentSpec) -> Watcher | None:
    """Return who waits for the lease of the spec's store, None if there is no store yet.

    One watcher to the end of a launch: only it knows for how long it has heard nothing.
    """
    try:
        return Watcher(Store.open(spec.store), spec.cluster.lease_s)
    except NotAStoreError:
        return None


def _watched(spec: ExperimentSpec, watcher: Watcher) -> Ended | None:
    """Watch another driver to its end, if there is one at work; None if there is none, or it died or fell silent."""
    driver = watcher.look()
    if not isinstance(driver, Held):
        return None
    who = driver.holder
    click.echo(f"{spec.name} is driven by process {who.get('pid')} on {who.get('host')}; watching it")
    ended = attach(watcher.store, watcher)
    if ended is None:
        click.echo("that driver is gone; going on here")
    return ended


def _left(spec: ExperimentSpec, ended: Ended) -> list[AnyRun]:
    """Return what is unfinished and was not part of the other launch; what failed there is not tried again unasked."""
    theirs = set(ended.detail.get("runs", ()))
    return [run for run in unfinished(spec) if run.id not in theirs]


def _backend(spec: ExperimentSpec, named: str | None) -> Backend:
    """A Ray of this process's own, or what is registered by that name, called with the path of the store.

    Raises RequestError for a name that no installed package registers, or that cannot be imported.
    """
    if named is None:
        from dit_grid.orchestrator.backends.ray import RayBackend

        return RayBackend(absolute(spec.store))
    if named not in registered("backends"):
        there = ", ".join(registered("backends")) or "none"
        raise RequestError(f"--backend {named}: no installed package registers it; there is {there}, or Ray without it")
    try:
        return loaded("backends", named)(absolute(spec.store))
    except EntryPointError as error:
        raise RequestError(str(error)) from error


def _driven_here(
    spec: ExperimentSpec, display: Display, watcher: Watcher | None, named: str | None = None
) -> tuple[core.State | None, Watcher | None]:
    """Drive the grid from here; no state if somebody was faster, or the lease was lost on the way.

    The lease of a store that is there is taken before Ray comes up, which takes seconds; for a new grid Ray is asked
    first, so that nothing is made for one that this machine cannot hold.
    """
    with ExitStack() as ending:
        lease = watcher.take() if watcher is not None else None
        if watcher is not None and lease is None:
            return None, watcher
        if lease is not None:
            ending.enter_context(lease)
        backend = _backend(spec, named)
        ending.callback(backend.close)
        check_placeable(unfinished(spec), backend.cluster())
        watcher = watcher or Watcher(Store.create(spec.store), spec.cluster.lease_s)
        record_runs(spec, watcher.store)
        lease = lease or watcher.take()
        if lease is None:
            return None, watcher
        with display() as show:
            return drive_under(lease, spec, watcher.store, backend, show), watcher


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
