"""The launch as a person watches it: a table that updates in place on a terminal, plain lines anywhere else.

It draws what `launch` hands it and decides nothing.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dit_grid.experiments.spec import AnyRun
from dit_grid.experiments.training.context import Progress
from dit_grid.orchestrator.core import FINAL, Phase, Run, why
from dit_grid.orchestrator.screen.grid import Grid, names_of
from dit_grid.orchestrator.screen.remaining import remaining_s

STYLES = {Phase.RUNNING: "bold cyan", Phase.DONE: "green", Phase.FAILED: "bold red", Phase.CANCELLED: "red"}

LINE_EVERY_S = 15.0
"""How often plain output says how the whole grid stands."""


@contextmanager
def display(console: Console | None = None) -> Iterator[Callable[[Grid], None]]:
    """Yield the function that shows a grid: a live table on a terminal, lines elsewhere."""
    console = console or Console(file=sys.stdout)
    said = Forecasts()
    if not console.is_terminal:
        lines = Lines(console)

        def tell(grid: Grid) -> None:
            said.add(grid)
            lines.show(grid)

        yield tell
    else:
        with Live(console=console, auto_refresh=False, transient=True) as live:

            def draw(grid: Grid) -> None:
                said.add(grid)
                live.update(Group(fitted(grid, console), Text(summary(grid), style="dim")), refresh=True)

            yield draw
    if line := said.verdict():
        console.print(line, markup=False, highlight=False, soft_wrap=True)


class Forecasts:
    """What was said of a launch's end while it went on, so that it can be held to it."""

    def __init__(self) -> None:
        self._said: list[tuple[float, float]] = []
        self._ended_s: float | None = None

    def add(self, grid: Grid) -> None:
        """Note the end that is said now, and when all runs had ended."""
        left = remaining_s(grid.state)
        if all(run.phase in FINAL for run in grid.state.runs.values()):
            self._ended_s = grid.elapsed_s if self._ended_s is None else self._ended_s
        elif left is not None:
            self._said.append((grid.elapsed_s, grid.elapsed_s + left))

    def verdict(self) -> str:
        """How far off the time to go was, by parts of the launch; empty if it did not end."""
        end = self._ended_s
        if end is None or not self._said or end < SHORT_S:
            return ""
        off = [f"{abs(guess - end) / end:.0%} at {share}" for share, guess in
               ((share, self._at(place * end)) for share, place in QUARTERS.items()) if guess is not None]  # fmt: skip
        return f"took {clock(end)}; the time to go was off by {', '.join(off)} of it" if off else ""

    def _at(self, elapsed_s: float) -> float | None:
        """The end that was said then, if any was."""
        return next((guess for at, guess in reversed(self._said) if at <= elapsed_s), None)


QUARTERS = {"1/4": 0.25, "1/2": 0.5, "3/4": 0.75}
SHORT_S = 30.0
"""Of a shorter launch nobody asks how long it takes."""


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


SPARE = ("loss", "it/s", "ETA", "metrics")
"""What a narrow terminal does not show, the most dispensable first."""


def fitted(grid: Grid, console: Console) -> Table:
    """Return the grid's table as it fits the console: columns leave before a cell is cut."""
    for count in range(len(SPARE) + 1):
        drawn = table(grid, SPARE[:count])
        if console.measure(drawn, options=console.options.update(max_width=10_000)).maximum <= console.width:
            return drawn
    for column in drawn.columns:
        column.no_wrap, column.overflow = False, "fold"
    return drawn


def table(grid: Grid, without: Sequence[str] = ()) -> Table:
    """Return the grid as a table: a row a run, and the evaluations under way."""
    names, rows = names_of(grid.runs), list[tuple[Text | str, ...]]()
    for spec in grid.runs:
        run, progress = grid.state.runs[spec.id], grid.progress.get(spec.id)
        rows.append((names[spec.id], *_cells(run, spec, progress, why(grid.state, run.id))))
    for run in grid.state.in_order():
        if run.of and run.phase in (Phase.RUNNING, Phase.FAILED):
            activity = Text(str(run.phase) if run.attempt is None else run.attempt.activity, STYLES[run.phase])
            rows.append((_named(run, names), activity, Text(run.reason), "", "", "", ""))
    kept = [place for place, name in enumerate(HEADINGS) if name not in without]
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for place in kept:
        right = HEADINGS[place] in ("it/s", "loss", "ETA")
        drawn.add_column(HEADINGS[place], justify="right" if right else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*(row[place] for place in kept))
    return drawn


HEADINGS = ("run", "state", "step", "it/s", "loss", "metrics", "ETA")


def summary(grid: Grid) -> str:
    """Return one line: how many runs are where, the time so far and the time to go."""
    counts = _counts(run for run in grid.state.runs.values() if not run.of)
    if measured := _counts(run for run in grid.state.runs.values() if run.of):
        counts += f"; evaluations: {measured}"
    left = remaining_s(grid.state)
    eta = f", about {clock(left)} to go" if left is not None and not grid.state.finished else ""
    return f"{counts}; {clock(grid.elapsed_s)} so far{eta}{_money(grid)}"


def _money(grid: Grid) -> str:
    """What is billed and held so far, where slices are billed; dollars where they have a price."""
    spent, before = grid.state.spending, grid.state.spent_before
    if not any(kind in grid.state.tariff.usd_per_hour for kind in grid.state.ledger.most):
        return ""
    if spent.billed_usd > before.billed_usd:
        return f"; billed {spent.billed_usd - before.billed_usd:,.0f} USD, held {spent.usd - before.usd:,.0f}"
    hours = [(now - then) / 3600 for now, then in ((spent.billed_s, before.billed_s), (spent.slice_s, before.slice_s))]
    return f"; billed {hours[0]:,.4g} slice-hours, held {hours[1]:,.4g}"


def _counts(runs: Iterable[Run]) -> str:
    phases = [run.phase for run in runs]
    return ", ".join(f"{phases.count(phase)} {phase}" for phase in Phase if phase in phases)


def _named(run: Run, names: dict[str, str]) -> str:
    return f"{names[run.of]} evaluation of step {run.at_step}" if run.of else names[run.id]


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
        return state, Text(reason), "", "", "", ""
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
