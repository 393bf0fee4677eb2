"""How the commands that look at a grid grow with its runs: seconds at 10 to 10,000 runs, and the exponent.

    uv run python benchmarks/growth.py                          20 minutes on idle cores, most of it at 10,000 runs
    uv run python benchmarks/growth.py --runs 10 100 1000 --clock processor --commands status report
    uv run python benchmarks/growth.py --folder growing         keeps the stores, and takes them again the next time

Every run of a store is done (`finished_10000.finished` makes it: twelve models by many seeds). A command is a process,
as its user starts it, interpreter included; a cell is the median of three. Prints a Markdown table for
docs/performance.md. `slope` is that of log seconds over log runs through the last two decades; `beyond start` the same
through the last two sizes of what goes beyond the smallest grid, which tells a square from a line where the start still
hides it.
"""

import argparse
import tempfile
from math import log
from pathlib import Path
from statistics import linear_regression, median

from finished_10000 import FINISHED, MODELS, finished, timed

from dit_grid.experiments.spec import load_spec

FRESH = "fresh.yaml"
"""The same grid in a store that is not there: what is asked before a launch."""

CLOCKS = ("wall", "processor")
"""In the order of what `timed` returns."""

COMMANDS = {
    "status": "status {spec} --json",
    "status, drawn": "status {spec}",
    "results": "results {spec}",
    "results, CSV": "results {spec} --format csv",
    "analyze": "analyze {spec} -o {scratch}/figures",
    "report": "report {spec} -o {scratch}/report.html",
    "launch, all done": "launch {spec}",
    "plan": "plan {spec}",
    "plan, nothing run": "plan {fresh}",
    "simulate": "simulate {spec} --slices cpu=8 --seeds 1",
}
"""What is timed, by the name of its row."""

DECADES = 100
"""The slope is over runs within this factor of the most: two decades."""

FEWEST_S = 0.1
"""Beyond the start by less than this is noise of the clock's medians; nothing is said of its growth."""


def main() -> None:
    """Make the stores, time the commands on each, and print the table."""
    options = asked()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch)).absolute()
        specs = [spec_of(folder, runs) for runs in sorted(options.runs)]
        sizes = [len(load_spec(spec).runs) for spec in specs]
        print(f"Seconds ({options.clock}, median of {options.times}) at so many runs:\n")
        print(row("command", *(f"{size:,}" for size in sizes), "slope", "beyond start"))
        print(row(*["---"] * (len(sizes) + 3)))
        for name in options.commands or COMMANDS:
            timed(asked_of(name, specs[0], scratch))  # which leaves its modules compiled
            seconds = [median_s(asked_of(name, spec, scratch), options) for spec in specs]
            shown = [f"{one:.2f}" for one in seconds]
            print(row(name, *shown, slope(sizes, seconds), beyond_start(sizes, seconds)), flush=True)


def asked() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 100, 1_000, 10_000], help="at least so many runs")
    parser.add_argument("--commands", nargs="+", choices=list(COMMANDS), help="only these")
    parser.add_argument("--times", type=int, default=3, help="how often each is run (default 3)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="processor is steadier on a busy machine")
    parser.add_argument("--folder", type=Path, help="keep the stores here")
    return parser.parse_args()


def spec_of(folder: Path, runs: int) -> Path:
    """Return the spec of a finished grid of at least so many runs, made if it is not there."""
    kept = folder / f"runs-{runs}"
    if not (kept / FINISHED).exists():
        finished(kept, -(-runs // MODELS))
    elsewhere = (kept / FINISHED).read_text().replace(f"store: {kept / 'store'}", f"store: {kept / 'nothing'}")
    (kept / FRESH).write_text(elsewhere)
    return kept / FINISHED


def asked_of(name: str, spec: Path, scratch: str) -> list[str]:
    """Return the words of a command for the grid of this spec."""
    fresh = spec.with_name(FRESH)
    return [word.format(spec=spec, fresh=fresh, scratch=scratch) for word in COMMANDS[name].split()]


def median_s(command: list[str], options: argparse.Namespace) -> float:
    """Return the seconds that a command takes, by the clock that was asked for."""
    return median(timed(command)[CLOCKS.index(options.clock)] for _ in range(options.times))


def slope(sizes: list[int], seconds: list[float]) -> str:
    """Return the exponent of the growth over the last two decades; nothing of one size."""
    last = [(log(n), log(s)) for n, s in zip(sizes, seconds, strict=True) if n * DECADES >= sizes[-1]]
    return f"{linear_regression(*zip(*last, strict=True)).slope:.2f}" if len(last) > 1 else ""


def beyond_start(sizes: list[int], seconds: list[float]) -> str:
    """Return the exponent, through the last two sizes, of the seconds beyond those of the smallest grid."""
    if len(sizes) < 3 or seconds[-2] - seconds[0] < FEWEST_S or seconds[-1] <= seconds[0]:
        return ""
    more = log((seconds[-1] - seconds[0]) / (seconds[-2] - seconds[0]))
    return f"{more / log(sizes[-1] / sizes[-2]):.2f}"


def row(*cells: str) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
