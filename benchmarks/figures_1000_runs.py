"""Seconds to draw and write every figure, and the report, of a store with 1,000 runs.

    python benchmarks/figures_1000_runs.py                 makes the store first; about a minute in all
    python benchmarks/figures_1000_runs.py --runs 100

The runs are planted: 12 models under so many seeds, with a loss every 100 of 5,000 steps, three metrics every 500
steps, and final values at three numbers of sampler steps. Prints wall and processor seconds of `write_figures` (PNG,
SVG and CSV each) and of the report, in a process of its own each, import of matplotlib included, but not the compiling
of Python files to bytecode, which the first use after an installation pays. Goal: 10 s for all figures.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from dit_grid.experiments.store import Store

SIZES = {"S": (44, 2), "B": (52, 3), "L": (56, 4), "XL": (80, 5)}
STEPS = 5000


def fill(where: str, runs: int) -> None:
    """Write the planted store."""
    store, rng = Store.create(where), np.random.default_rng(0)
    models = [(size, patch) for size in SIZES for patch in (8, 4, 2)]
    for number in range(runs):
        size, patch = models[number % len(models)]
        run = facts(size, patch, number // len(models))
        store.add_run(run)
        attempt = store.begin_attempt(run["run_id"], 0)
        with store.writer(attempt, rows_per_flush=10_000, flush_s=1e9) as writer:
            measure(writer, run, rng)
        store.end_attempt(attempt, "done")


def facts(size: str, patch: int, seed: int) -> dict:
    """The row of a run."""
    width, depth = SIZES[size]
    tokens = (8 // patch) ** 2
    return {
        "run_id": f"{size.lower()}-{patch}-{seed:05d}", "experiment": "planted", "model": f"{size}/{patch}",
        "size": size, "patch": patch, "block": "adaln-zero", "image_size": 8, "channels": 1, "classes": 10,
        "width": width, "depth": depth, "heads": 4, "tokens": tokens, "params": 18 * depth * width**2,
        "forward_macs": 12 * depth * tokens * width**2, "batch": 128, "steps": STEPS, "seed": seed,
        "dataset": "digits", "spec": "{}", "code_sha256": "0",
    }  # fmt: skip


def measure(writer, run: dict, rng: np.random.Generator) -> None:
    """Write a run's losses and evaluations."""
    gmacs = run["forward_macs"] / 1e9
    for step in range(100, STEPS + 1, 100):
        noise = float(np.exp(rng.normal(0, 0.03)))
        writer.train({"step": step, "loss": (0.1 + 90 / (100 + step)) * noise * gmacs**-0.01})
    for step in range(500, STEPS + 1, 500):
        value = 0.2 * gmacs**-0.5 * (step / STEPS) ** -0.6 * float(np.exp(rng.normal(0, 0.1)))
        sampler_steps = (4, 8, 20) if step == STEPS else (20,)
        for count in sampler_steps:
            setting = {"protocol": f"ddim{count}", "samples": 1000, "sampler": "ddim", "sampler_steps": count}
            setting |= {"guidance": 1.0, "weights": "ema"}
            writer.eval({"step": step, "metric": "fd_conv", "value": value * (1 + 8 / count**2), **setting})
        writer.eval({"step": step, "metric": "accuracy", "value": 1 / (1 + value / 50), **setting})
        held_out = {"protocol": "held", "samples": 297, "weights": "ema"}
        writer.eval({"step": step, "metric": "heldout_loss", "value": 0.1 + value / 1000, **held_out})


FIGURES = "from dit_grid.analysis import write_figures; write_figures({where!r}, {out!r})"
REPORT = "from dit_grid.analysis import write_report; write_report({where!r}, {out!r})"


def timed(what: str, code: str, bytecode: str) -> None:
    """Print the wall and processor seconds of Python code in a process of its own, the second time it is run.

    Bytecode is kept in the folder `bytecode`, also where the environment says that none should be written.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = bytecode
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
    inner = f"import time; a = time.perf_counter(); {code}; print(time.perf_counter() - a, time.process_time())"
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", inner], check=True, capture_output=True, text=True, env=environment)
    inside, cpu = map(float, done.stdout.split()[-2:])
    print(
        f"{what:<32} {inside:6.2f} s wall, {cpu:6.2f} s CPU ({time.perf_counter() - started:.2f} s with Python's start)"
    )


def main() -> None:
    """Make the store, draw it, report it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--store", help="use this store and leave it, instead of a temporary one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = args.store or f"{folder}/store"
        fill(where, args.runs)
        timed(
            f"figures of {args.runs:,} runs", FIGURES.format(where=where, out=f"{folder}/figures"), f"{folder}/bytecode"
        )
        timed(
            f"report of {args.runs:,} runs",
            REPORT.format(where=where, out=f"{folder}/report.html"),
            f"{folder}/bytecode",
        )


if __name__ == "__main__":
    main()
