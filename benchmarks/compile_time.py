"""Time to trace and to compile one training step of DiT-S/2 and of DiT-XL/2, forward, backward and AdamW.

    uv run python benchmarks/compile_time.py                 S/2 and XL/2, about two minutes on one idle core
    uv run python benchmarks/compile_time.py --models S/8    others

Blocks are scanned, so depth costs nothing: XL/2 (28 blocks) should take about the time of S/2 (12). Nothing is executed
and no parameter is allocated. Prints a row a model: seconds of tracing and lowering, and of compilation.
"""

import argparse
import time

import jax

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training.update import Program
from dit_grid.model import SIZES


def main() -> None:
    """Print the two times for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["S/2", "XL/2"], help="paper names (default S/2 XL/2)")
    parser.add_argument("--batch", type=int, default=8, help="global batch (default 8; its size changes little)")
    arguments = parser.parse_args()
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}; model, blocks, trace s, compile s", flush=True)
    for name in arguments.models:
        traced, compiled = measure(name, arguments.batch)
        depth = SIZES[name.partition("/")[0]].depth
        print(f"{name:5} {depth:3} {traced:8.2f} {compiled:8.2f}", flush=True)


def measure(name: str, batch: int) -> tuple[float, float]:
    """Return seconds to trace and lower the training step of the paper's model, and to compile it."""
    size, _, patch = name.partition("/")
    shape = SIZES[size]._asdict()
    run = RunSpec.model_validate(
        {
            "model": {"size": size, "patch": int(patch), "image_size": 32, **shape},
            "data": {"name": "none"},
            "train": {"batch": batch},
            "evaluate": {"every": 100},
        }
    )
    program = Program(run)
    started = time.perf_counter()
    lowered, _ = program.lower_step()
    traced = time.perf_counter() - started
    lowered.compile()
    return traced, time.perf_counter() - started - traced


if __name__ == "__main__":
    main()
