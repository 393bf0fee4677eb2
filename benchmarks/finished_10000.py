"""A finished grid of ten thousand runs: launching it again, and its status.

    uv run python benchmarks/finished_10000.py               about three minutes, most of them to make the store
    uv run python benchmarks/finished_10000.py --runs 1200
    uv run python benchmarks/finished_10000.py --folder many   keeps the store, and takes it again the next time

Makes a spec of twelve models by many seeds and a store in which every run is done, as trainers leave it: a runs row, a
fence and its end, a segment of training rows and one of evaluations each; then compacts it. Prints the seconds of
`dit-grid launch` and `dit-grid status --json` on it, start of the interpreter included, the best of three; and the
seconds of CPU, which other load on the machine changes little.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.compaction import collect, compact
from dit_grid.orchestrator.planning.work import record_runs

DIGITS = Path(__file__).parents[1] / "experiments" / "digits.yaml"
MODELS = 12
FINISHED = "finished.yaml"


def main() -> None:
    """Make the store and time the two commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000, help="at least so many runs (default 10,000)")
    parser.add_argument("--folder", type=Path, help="keep the store here")
    options = parser.parse_args()
    seeds = -(-options.runs // MODELS)
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch)).absolute()
        spec = folder / FINISHED
        if not spec.exists():
            finished(folder, seeds)
        runs = len(load_spec(spec).runs)
        for command in (["launch", str(spec)], ["status", str(spec), "--json"]):
            seconds, cpu_s = map(min, zip(*(timed(command) for _ in range(3)), strict=True))
            print(f"{runs:,} runs: dit-grid {command[0]} {seconds:.2f} s ({cpu_s:.2f} s of CPU)", flush=True)


def finished(folder: Path, seeds: int) -> None:
    """Write a spec whose runs, twelve a seed, are all done in its store."""
    file = many(folder, seeds)
    spec = load_spec(file)
    store = Store.create(spec.store)
    record_runs(spec, store)
    for run in spec.runs:
        attempt = store.begin_attempt(run.id, 0, {"host": "elsewhere", "pid": 1, "device": "cpu"})
        with store.writer(attempt) as writer:
            for step in range(500, run.train.steps + 1, 500):
                writer.train({"step": step, "loss": 1 / step, "steps_per_s": 20.0})
                value = 100.0 / (run.model.width + run.seed)
                writer.eval({"step": step, "metric": "fd_conv", "value": value, "protocol": "p", "samples": 1000})
        summary = {"model": run.model.name, "steps": step, "loss": 1 / step, "steps_per_s": 20.0, "mfu": None,
                   "metrics": {"fd_conv": value}, "device": "cpu"}  # fmt: skip
        store.end_attempt(attempt, "done", {"step": step, "summary": summary})
    compact(store)
    collect(store, dry_run=False, grace_s=0.0)
    file.rename(folder / FINISHED)  # last: a folder that holds it is whole


def many(folder: Path, seeds: int) -> Path:
    """Write a spec of the digits grid, twelve models, over so many seeds, its store beside it; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    text = DIGITS.read_text().replace("store: results/digits", f"store: {folder / 'store'}")
    text = text.replace("\nseed: 0\n", "\n").replace("\ngrid:\n", f"\ngrid:\n  seed: {list(range(seeds))}\n")
    file = folder / "many.yaml"
    file.write_text(text)
    return file


def timed(arguments: list[str]) -> tuple[float, float]:
    """Return the seconds that the command takes, by the clock and of CPU, as its user's second one does.

    That is with compiled modules, which an environment for builds may forbid: without, a start is 0.3 s more.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "dit_grid.orchestrator", *arguments]
    started, before = time.monotonic(), os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - started, spent


if __name__ == "__main__":
    main()
