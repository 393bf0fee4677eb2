"""The launch as a person watches it: a table that updates in place on a terminal, plain lines anywhere else.

It draws what `launch` hands it and decides nothing.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dit_grid.experiments.spec import AnyRun
from dit_grid.experiments.spec.any_run import step_macs
from dit_grid.experiments.training.context import Progress
from dit_grid.orchestrator.core import FINAL, Phase, Run, why
from dit_grid.orchestrator.screen.grid import Grid, names_of

STYLES = {Phase.RUNNING: "bold cyan", Phase.DONE: "green", Phase.FAILED: "bold red", Phase.CANCELLED: "red"}

LINE_EVERY_S = 15.0
"""How often plain output says how the whole grid stands."""


@contextmanager
def display(console: Console | None = None) -> Iterator[Callable[[Grid], None]]:
    """Yield the function that shows a grid: a live table on a terminal, lines elsewhere."""
    console = console or Console(file=sys.stdout)
    if not console.is_terminal:
        yield Lines(console).show
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda grid: live.update(Group(table(grid), Text(summary(grid), style="dim")), refresh=True)


class Lines:
    """Plain output: a line for each change of a run's phase and each evaluation, and the grid's ETA now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._phases: dict[str, Phase] = {}
        self._metrics: dict[str, dict[str, float]] = {}
        self._said = time.monotonic()

    def show(self, grid: Grid) -> None:
        """Print what is new."""
        specs, names = {run.id: run for run in grid.runs}, names_of(grid.runs)
        for run in grid.state.in_order():
            spec = specs[run.of or run.id]
            if self._phases.get(run.id) != run.phase and not (run.phase is Phase.WAITING and not run.attempts):
                self._print(grid, f"{_named(run, names)} {run.phase} {run.reason}".rstrip())
            self._phases[run.id] = run.phase
            progress = grid.progress.get(run.id)
            if progress and progress.metrics and progress.metrics != self._metrics.get(run.id):
                self._metrics[run.id] = progress.metrics
                step = f"{run.at_step if run.of else progress.step}/{spec.train.steps}"
                self._print(grid, f"{names[spec.id]} step {step} {_metrics_text(progress)}")
        if time.monotonic() - self._said > LINE_EVERY_S:
            self._print(grid, summary(grid))

    def _print(self, grid: Grid, text: str) -> None:
        self._said = time.monotonic()
        self.console.print(f"[{clock(grid.elapsed_s)}] {text}", markup=False, highlight=False, soft_wrap=True)


def table(grid: Grid) -> Table:
    """Return the grid as a table: a row a run, and the evaluations under way."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "state", "step", "it/s", "loss", "metrics", "ETA"):
        drawn.add_column(name, justify="right" if name in ("it/s", "loss", "ETA") else "left", no_wrap=True)
    names = names_of(grid.runs)
    for spec in grid.runs:
        run, progress = grid.state.runs[spec.id], grid.progress.get(spec.id)
        drawn.add_row(names[spec.id], *_cells(run, spec, progress, why(grid.state, run.id)))
    for run in grid.state.in_order():
        if run.of and run.phase in (Phase.RUNNING, Phase.FAILED):
            activity = Text(str(run.phase) if run.attempt is None else run.attempt.activity, STYLES[run.phase])
            said = Text(run.reason, overflow="ellipsis")
            drawn.add_row(_named(run, names), activity, said, "", "", "", "")
    return drawn


def summary(grid: Grid) -> str:
    """Return one line: how many runs are where, the time so far and the time to go."""
    counts = _counts(run for run in grid.state.runs.values() if not run.of)
    if measured := _counts(run for run in grid.state.runs.values() if run.of):
        counts += f"; evaluations: {measured}"
    left = remaining_s(grid)
    eta = f", about {clock(left)} to go" if left is not None and not grid.state.finished else ""
    return f"{counts}; {clock(grid.elapsed_s)} so far{eta}"


def _counts(runs: Iterable[Run]) -> str:
    phases = [run.phase for run in runs]
    return ", ".join(f"{phases.count(phase)} {phase}" for phase in Phase if phase in phases)


def _named(run: Run, names: dict[str, str]) -> str:
    return f"{names[run.of]} evaluation of step {run.at_step}" if run.of else names[run.id]


def remaining_s(grid: Grid) -> float | None:
    """Return the seconds until the grid ends at its pace in this launch, by the compute left; None at first.

    The pace is of the whole grid, compilation and evaluation included, so it needs no model of either.
    """
    total = done = before = 0.0
    for spec in grid.runs:
        macs = step_macs(spec)
        start = grid.first_steps.get(spec.id, 0)
        progress = grid.progress.get(spec.id)
        final = grid.state.runs[spec.id].phase in FINAL
        step = spec.train.steps if final else max(start, progress.step if progress else 0)
        total, done, before = total + macs * spec.train.steps, done + macs * step, before + macs * start
    if done <= before or not grid.elapsed_s:
        return None
    return (total - done) / (done - before) * grid.elapsed_s


def clock(seconds: float) -> str:
    """Return a duration as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _cells(run: Run, spec: AnyRun, progress: Progress | None, waits_for: str) -> tuple[Text | str, ...]:
    state = Text(run.phase if run.phase is not Phase.RUNNING or not progress else progress.activity)
    state.stylize(STYLES.get(run.phase, "dim"))
    if run.phase in (Phase.WAITING, Phase.PAUSED, Phase.FAILED, Phase.CANCELLED):
        reason = waits_for or run.reason
        return state, Text(reason, overflow="ellipsis"), "", "", "", ""
    if progress is None:
        return state, f"0/{spec.train.steps}", "", "", "", ""
    rate, left = progress.steps_per_s, progress.steps - progress.step
    eta = clock(left / rate) if rate and run.phase is Phase.RUNNING else ""
    loss = f"{progress.loss:.4f}" if progress.loss is not None else ""
    return (
        state,
        f"{progress.step}/{progress.steps}",
        f"{rate:.1f}" if rate else "",
        loss,
        _metrics_text(progress),
        eta,
    )


def _metrics_text(progress: Progress) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in progress.metrics.items())
