"""The page in a real browser: size, first paint and memory with 12 and 1,000 runs, and the delay from flush to screen.

    python benchmarks/page.py                                   12 and 1,000 runs, five loads each, 30 flushes
    python benchmarks/page.py --runs 12 --loads 1 --flushes 3   a quick look
    python benchmarks/page.py --store results/digits            a store of yours in place of planted ones

Needs Chromium and the extra `serve`. `dit-grid serve` runs in a process of its own, as a person starts it. First paint
is the browser's own first-contentful-paint, memory its script's heap after a collection. The delay is from the end of a
flush until the drawn curve has the step, looked for every 20 ms; the page hears of it within a second.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "analysis"))
from conftest import planted_tables, write_store
from headless import Browser, Page, chromium

from dit_grid.experiments.store import Store

PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
HEAP = "performance.memory.usedJSHeapSize"
LAST = "document.querySelector('#plot-loss').series.find(line => line.run.id === '{}').steps.at(-1)"
LIVE = "document.querySelector('#live').textContent.startsWith('live')"
SECONDS = 30
"""After this long a step that is not on the screen counts as never seen."""


def planted(folder: Path, runs: int) -> str:
    """The path of a store with so many runs: the twelve models of a grid, or 50 models of many seeds."""
    if runs == 12:
        return write_store(folder / "12", planted_tables(noise=0.1, stop=("XL/2",)))
    sizes = {f"W{k}": (16 + 4 * k, 2 + k % 4) for k in range(25)}
    tables = planted_tables(noise=0.1, sizes=sizes, patches=(8, 4), seeds=range(max(1, runs // 50)))
    return write_store(folder / str(runs), tables)


@contextmanager
def served(store: str) -> Iterator[str]:
    """The address of the store's page while `dit-grid serve` serves it."""
    command = [sys.executable, "-u", "-m", "dit_grid.orchestrator", "serve", store, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
        finally:
            server.terminate()


def until(page: Page, expression: str) -> float:
    """Seconds until the expression is true in the page, or infinity."""
    began = time.monotonic()
    while not page.ask(expression):
        if time.monotonic() - began > SECONDS:
            return float("inf")
        time.sleep(0.02)
    return time.monotonic() - began


def loads(address: str, count: int) -> tuple[float, float]:
    """Median first paint, ms, and largest heap, MB, of fresh browsers."""
    paints, heaps = [], []
    for _ in range(count):
        with Browser(chromium() or "chromium") as browser, Page(browser) as page:
            page.open(address, 1280)
            until(page, PAINT)
            paints.append(page.ask(PAINT))
            page.call("HeapProfiler.enable")
            page.call("HeapProfiler.collectGarbage")
            heaps.append(page.ask(HEAP) / 1e6)
    return statistics.median(paints), max(heaps)


def delays(store: str, address: str, run: str, count: int) -> list[float]:
    """Seconds from the end of each flush of the run until the page has drawn it."""
    attempt, found = Store.open(store).attempts(run)[-1].attempt, []
    with (
        Browser(chromium() or "chromium") as browser,
        Page(browser) as page,
        Store.open(store).writer(attempt, flush_s=1e9) as writer,
    ):
        page.open(address, 1280)
        until(page, LIVE)
        for step in range(1001, 1001 + count):
            writer.train({"step": step, "loss": 0.1})
            writer.flush()
            found.append(until(page, f"{LAST.format(run)} === {step}"))
            time.sleep(0.37)  # so that flushes fall anywhere in the second between two looks
    return found


def main() -> None:
    """Print a row for each number of runs, and the delays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[12, 1000])
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--flushes", type=int, default=30)
    parser.add_argument("--store")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stores = [args.store] if args.store else [planted(Path(folder), runs) for runs in args.runs]
        print("runs   page, MB   first paint, ms   script's memory, MB")
        for store in stores:
            with served(store) as address:
                with urllib.request.urlopen(address) as answer:
                    size = len(answer.read()) / 1e6
                paint, heap = loads(address, args.loads)
                print(f"{len(Store.open(store).run_ids()):>5,} {size:10.2f} {paint:17.0f} {heap:21.1f}", flush=True)
                if not args.store and store == stores[0] and args.flushes:
                    seen = delays(store, address, unfinished(store), args.flushes)
                    print(f"flush to screen: median {statistics.median(seen):.2f} s, largest {max(seen):.2f} s of "
                          f"{len(seen)}")  # fmt: skip


def unfinished(store: str) -> str:
    """A run that has not ended."""
    return next(run for run, state in Store.open(store).states().items() if state.outcome is None)


if __name__ == "__main__":
    main()
