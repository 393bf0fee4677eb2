"""Driving a grid under the store's lease, wherever the driver lives: for `who_drives` here and `controller` there.

How the lease was come by, and which backend executes, is theirs.
"""

import os
from collections.abc import Callable
from typing import Any

from dit_grid.experiments.spec import AnyRun, BudgetSpec, ExperimentSpec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator import core
from dit_grid.orchestrator.advice.until import adviser
from dit_grid.orchestrator.advice.watch import Watch
from dit_grid.orchestrator.backends.contract import Backend
from dit_grid.orchestrator.control.inbox import Inbox
from dit_grid.orchestrator.control.lease import Lease, newest_number
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.account import account, tariff
from dit_grid.orchestrator.planning.work import unfinished
from dit_grid.orchestrator.screen.grid import Grid
from dit_grid.orchestrator.screen.status import median_speeds

Show = Callable[[Grid], None]


def drive_under(lease: Lease, spec: ExperimentSpec, store: Store, backend: Backend, show: Show) -> core.State | None:
    """Drive what is unfinished while the lease is held, and end it; None if the lease was lost on the way.

    Raises what the driver raises, once those who watch it have been told; StorageError where the lease was lost because
    the store takes nothing any more.
    """
    todo = unfinished(spec)

    def show_and_note(grid: Grid) -> None:
        if lease.note_is_old:
            lease.note = {"waits": waits(grid.state)} | _spent(grid.state, spec)
        show(grid)

    speeds = median_speeds(store) if spec.cluster.budget != BudgetSpec() else {}
    with lease:
        state = drive(
            todo, store, backend, show_and_note, cluster=spec.cluster, price=spec.plan, speeds=speeds,
            tariff=tariff(spec),
            requests=Inbox(store.files).events, advise=adviser(spec, store), watch=Watch(spec, store),
            holds=lambda: lease.holds,
        )  # fmt: skip
        if lease.holds:
            lease.end(_said(state, todo) | _spent(state, spec))
            return state
    lease.give_up()
    if newest_number(store.files) == lease.number and lease.trouble is not None:
        raise lease.trouble
    return None


def absolute(store: str) -> str:
    """Return the store so that a process in another folder finds it."""
    return store if "://" in store else os.path.abspath(store)


def _said(state: core.State, todo: list[AnyRun]) -> dict[str, Any]:
    """Return what a driver leaves for those who watch it."""
    phases = {run.id: str(run.phase) for run in state.in_order()}
    outcome = "stopped" if state.stopping else "ended"
    runs = [run.id for run in todo]
    known = {run.id: run.known for run in state.in_order() if run.known and run.phase is core.Phase.CANCELLED}
    return {"outcome": outcome, "runs": runs, "phases": phases, "enough": state.enough, "known": known,
            "waits": waits(state)}  # fmt: skip


def _spent(state: core.State, spec: ExperimentSpec) -> dict[str, str]:
    """Return what was held and billed, in a sentence; nothing where nothing ran on slices."""
    found = account(state, spec.plan)
    return {} if found is None else {"spent": found.line}


def waits(state: core.State) -> dict[str, list[str]]:
    """Return reason -> the runs that wait for it, in the order of launching; many share one."""
    found: dict[str, list[str]] = {}
    for run in state.in_order():
        if reason := core.why(state, run.id):
            found.setdefault(reason, []).append(run.id)
    return found
