"""Training steps of the paper's networks on this machine's cores, beside a DiT in PyTorch, in alternation.

    uv run python benchmarks/training_step.py --torch-python VENV/bin/python            with torch 2.13.0 in VENV
    uv run python benchmarks/training_step.py --models S/8,S/4 --threads 2 --updates 3

Ours and the peer's each live in a process of their own, bound to the same cores; one update of each in turn, so that
both see the same machine. An update is noise, forward, backward, AdamW and the moving average, in float32, and is taken
by the processor seconds it took. Prints for each model the median of either, their ratio with the middle half of the
paired ratios, and the time that the network's matrix products would take at the speed of one large product in NumPy as
a share of ours.
Without --torch-python only ours is timed. `--compile` adds torch.compile, which needs a C++ compiler and minutes.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SIDE, CLASSES = 32, 1000
SIZES = {"S": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16), "XL": (1152, 28, 16)}
PEERS = Path(__file__).parent / "peers"


def main() -> None:
    """Start the workers of each model, ask them in turn, and print what came back."""
    asked = arguments()
    if asked.worker:
        work(asked.worker, asked.models, asked.batch, asked.threads)
        return
    import numpy as np

    peers = [] if asked.torch_python is None else ["torch", *(["torch-compiled"] if asked.compile else [])]
    print("model  batch  ours, s  " + "".join(f"{peer}, s  ours is  [middle half]  " for peer in peers) + "of roofline")
    for model in asked.models.split(","):
        workers = {who: start(who, model, asked) for who in ("ours", *peers)}
        seconds: dict[str, list[float]] = {who: [] for who in workers}
        for _ in range(asked.updates):
            for who, worker in workers.items():
                seconds[who].append(told(worker))
        for worker in workers.values():
            worker.kill()
            worker.wait()
        ours = np.array(seconds["ours"])
        line = f"{model:5s}  {asked.batch:5d}  {np.median(ours):7.3f}  "
        for peer in peers:
            ratios = np.array(seconds[peer]) / ours
            low, high = np.quantile(ratios, [0.25, 0.75])
            line += f"{np.median(seconds[peer]):7.3f}  {np.median(ratios):6.2f} x  [{low:.2f}, {high:.2f}]  "
        print(f"{line}{roofline(model, asked.batch) / np.median(ours):.2f}", flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="S/8,S/4,S/2,B/8,B/4", help="of the paper's, with commas")
    parser.add_argument("--batch", type=int, default=8, help="images an update (default 8)")
    parser.add_argument("--threads", type=int, default=1, help="cores, from the last one down (default 1)")
    parser.add_argument("--updates", type=int, default=7, help="timed updates of each (default 7)")
    parser.add_argument("--torch-python", help="an interpreter that has torch")
    parser.add_argument("--compile", action="store_true", help="time torch.compile as well")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def start(who: str, model: str, asked: argparse.Namespace) -> subprocess.Popen[str]:
    """A process that makes one update for every line it gets, warmed up."""
    python = sys.executable if who == "ours" else asked.torch_python
    command = [python, __file__, "--worker", who, "--models", model, "--batch", str(asked.batch)]
    command += ["--threads", str(asked.threads)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    told(worker)
    return worker


def told(worker: subprocess.Popen[str]) -> float:
    """Ask for one update and return the processor seconds that it took."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


def work(who: str, model: str, batch: int, threads: int) -> None:
    """Make updates as asked on standard input, and answer with the processor seconds of each."""
    import time

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    update = ours(model, batch, threads) if who == "ours" else torchs(who, model, batch, threads)
    update()
    for _ in sys.stdin:
        began = time.process_time()
        update()
        print(time.process_time() - began, flush=True)


def ours(model: str, batch: int, threads: int) -> Callable[[], None]:
    """Our update as the trainer compiles it, waited for."""
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    import jax
    import numpy as np

    from dit_grid.experiments.spec.any_run import run_from
    from dit_grid.experiments.training.update import Program

    size, patch = model.split("/")
    width, depth, heads = SIZES[size]
    shape = {"size": size, "width": width, "depth": depth, "heads": heads, "patch": int(patch)}
    run = run_from({
        "model": shape | {"image_size": SIDE, "channels": 4, "classes": CLASSES},
        "data": {"name": "timed"}, "train": {"steps": 400_000, "batch": batch, "log_every": 1},
        "evaluate": {"every": 400_000}, "seed": 0,
    })  # fmt: skip
    program = Program(run)
    state = program.init()
    images = np.random.default_rng(0).standard_normal((1, batch, SIDE, SIDE, 4), np.float32)
    labels = np.arange(batch, dtype=np.int32)[None]

    def update() -> None:
        nonlocal state
        state, losses = program.advance(state, images, labels)
        jax.block_until_ready((state, losses))

    return update


def torchs(who: str, model: str, batch: int, threads: int) -> Callable[[], float]:
    """The peer's update."""
    sys.path.insert(0, str(PEERS))
    import torch
    import torch_dit

    torch.set_num_threads(threads)
    size, patch = model.split("/")
    return torch_dit.updates(SIDE, int(patch), *SIZES[size], batch, compiled=who == "torch-compiled").update


def roofline(model: str, batch: int) -> float:
    """Seconds that the matrix products of an update take on one core at the speed of a large product alone."""
    import time

    import numpy as np

    from dit_grid.model import DiTConfig, accounting

    left, right = (np.random.default_rng(0).standard_normal((2048, 1536), np.float32) for _ in range(2))
    taken = []
    for _ in range(5):
        began = time.process_time()
        left.T @ right
        taken.append(time.process_time() - began)
    macs_per_s = 2048 * 1536**2 / min(taken)
    size, patch = model.split("/")
    width, depth, heads = SIZES[size]
    config = DiTConfig(width=width, depth=depth, heads=heads, patch=int(patch), image_size=SIDE, channels=4,
                       classes=CLASSES)  # fmt: skip
    return accounting.training_macs(config, batch, 1) / macs_per_s


if __name__ == "__main__":
    main()
