"""What a trainer of one's own pays for its run: microseconds a row logged, rows a second into the store, and the whole.

    python benchmarks/own_trainer.py [--rows 200000] [--seconds 20]

The goals: under 20 microseconds a call, 100,000 rows a second, 1.05 times the time of a bare process. The last is of a
trainer that works 10 ms a step, one row a step and a checkpoint every hundred; start and end are in it.
So are imports; where surroundings forbid bytecode (PYTHONDONTWRITEBYTECODE), unset that, or their compiling is timed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.store import Store
from dit_grid.experiments.trainers import train
from dit_grid.experiments.training.context import Context

TRAINER = """
import json, pathlib, time

class Bare:  # what stands for the run where there is none
    def __init__(self, steps, work_s):
        self.steps, self.config, self.checkpoint_every, self.stop_requested = steps, {"work_s": work_s}, 100, False
    def log(self, step, **values): pass
    def commit(self, step): pass
    def checkpoint_folder(self, step):
        folder = pathlib.Path(f"bare/{step}"); folder.mkdir(parents=True, exist_ok=True)
        return folder

def train(run):
    work_s, began = run.config["work_s"], time.perf_counter()
    for step in range(1, run.steps + 1):
        until = time.perf_counter() + work_s
        while work_s and time.perf_counter() < until:
            pass
        run.log(step, loss=1.0 / step)
        if work_s and (run.stop_requested or step % run.checkpoint_every == 0):
            (run.checkpoint_folder(step) / "state").write_text(str(step))
            run.commit(step)
    pathlib.Path("took.json").write_text(json.dumps(time.perf_counter() - began))
"""


def timed(folder: Path, steps: int, work_s: float) -> tuple[float, float]:
    """Return (seconds of the whole attempt, seconds inside the trainer's loop), its rows all in the store."""
    run = TrainerRun.model_validate({
        "trainer": "timed_trainer:train", "config": {"work_s": work_s}, "train": {"steps": steps},
        "execution": {"checkpoint_every": 100}, "folder": str(folder),
    })  # fmt: skip
    store, began = Store.create(str(folder / f"store-{steps}")), time.perf_counter()
    ended = train(run, Context(store))
    whole = time.perf_counter() - began
    assert ended.outcome == "done", ended
    assert store.train(columns=["step"]).num_rows == steps
    return whole, json.loads((folder / "took.json").read_text())


def bare(folder: Path, steps: int, work_s: float) -> float:
    """Return the seconds of the same trainer as a process of its own with no run."""
    program = f"import timed_trainer as t; t.train(t.Bare({steps}, {work_s}))"
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print one line each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "timed_trainer.py").write_text(TRAINER)
        whole, inside = timed(folder, asked.rows, 0.0)
        print(f"log: {1e6 * inside / asked.rows:.1f} microseconds a call")
        print(f"store: {asked.rows / whole:,.0f} rows/s from start to end, {asked.rows:,} rows")
        steps = round(asked.seconds / 0.01)
        alone, (whole, _) = bare(folder, steps, 0.01), timed(folder, steps, 0.01)
        print(f"run: {whole:.2f} s, bare process {alone:.2f} s, {whole / alone:.3f} times")


if __name__ == "__main__":
    main()
