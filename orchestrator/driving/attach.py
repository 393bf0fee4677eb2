"""Watching a grid that another process drives, from the store alone: what `launch` does when somebody else was first.

It decides nothing and holds nothing; ending it changes nothing.
"""

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from dit_grid.experiments.store import Store
from dit_grid.orchestrator.control.lease import Ended, Held, Watcher
from dit_grid.orchestrator.screen.status import RunStatus, read_status
from dit_grid.orchestrator.screen.tables import status_view

LOOK_EVERY_S = 2.0


def attach(store: Store, watcher: Watcher, console: Console | None = None) -> Ended | None:
    """Show the runs until their driver ends, and return how; None if it died, and the lease is free to take."""
    console = console or Console(file=sys.stdout)
    if not console.is_terminal:
        return _until_the_end(store, watcher, _Lines(console).show)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        return _until_the_end(store, watcher, lambda rows: live.update(status_view(rows, console), refresh=True))


def _until_the_end(store: Store, watcher: Watcher, show: Callable[[list[RunStatus]], None]) -> Ended | None:
    while isinstance(driver := watcher.look(), Held):
        show(read_status(store))
        time.sleep(LOOK_EVERY_S)
    show(read_status(store))
    return driver


class _Lines:
    """Plain output: a line for each change of a run's state and each new metric."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._said: dict[str, tuple[str, dict[str, float]]] = {}

    def show(self, rows: list[RunStatus]) -> None:
        for row in rows:
            if self._said.get(row.run_id, ("waiting", {})) != (row.state, row.metrics):
                metrics = "  ".join(f"{name} {value:.4g}" for name, value in row.metrics.items())
                line = f"{row.model} {row.state} step {row.step}/{row.steps} {metrics}".rstrip()
                self.console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._said[row.run_id] = (row.state, row.metrics)
