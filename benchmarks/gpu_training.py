"""Training step and sampler of the paper's models on one accelerator: speed, utilisation of its peak, memory.

    uv run python benchmarks/gpu_training.py                          XL/2, L/2, B/4, S/8 in bfloat16, batch 256
    uv run python benchmarks/gpu_training.py --models XL/2 --remat dots --batch 128
    JAX_PLATFORMS=cpu uv run python benchmarks/gpu_training.py --tiny  a few seconds, to see that it works

About ten minutes on an H200 with `uv pip install 'jax[cuda12]'`. Each model trains on random latents in memory: one
call to compile, one to warm up, then `--calls` timed calls of `--steps` updates each. The sampler draws one chunk with
250 DDPM steps, with guidance. Model FLOPs utilisation counts the network's own arithmetic (three forward passes an
update, `dit_grid.model.accounting`), so recomputation lowers it; a device whose peak is not listed shows none. Prints a
Markdown table a part, for docs/performance.md. "auto" attention is cuDNN's fused kernel where it fits.
"""

import argparse
import time
from typing import Any

import jax
import numpy as np
from flax import nnx

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training.update import Program
from dit_grid.model import SIZES, Diffusion, DiT, Schedule, accounting, sample_chunks

TINY = {"depth": 2, "width": 64, "heads": 4}
GIB = 2**30


def main() -> None:
    """Print both tables, a row as soon as it is measured."""
    options = arguments()
    device = jax.devices()[0]
    peak = accounting.device_peak(device.device_kind)
    stated = f"{peak.flops_per_s / 1e12:.0f} TFLOP/s ({peak.source})" if peak else "not listed, so no MFU"
    print(f"jax {jax.__version__}, {device.device_kind}, peak {stated}\n")
    print("| model | dtype | batch | remat | attention | compile s | it/s | images/s | MFU | peak GiB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in options.models:
        print(training_row(name, options, peak), flush=True)
    print("\n| model | dtype | images | sampler steps | guidance | compile s | images/s | network it/s | MFU |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.models:
        print(sampling_row(name, options, peak), flush=True)


def arguments() -> argparse.Namespace:
    """Return the command line's options; `--tiny` makes everything small."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["XL/2", "L/2", "B/4", "S/8"], help="paper names")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--batch", type=int, default=256, help="images of an update (default 256)")
    parser.add_argument("--accumulate", type=int, default=1, help="parts that a batch goes through in (default 1)")
    parser.add_argument("--remat", choices=["none", "dots", "block"], default="none")
    parser.add_argument("--attention", choices=["auto", "xla", "cudnn"], default="auto")
    parser.add_argument("--steps", type=int, default=10, help="updates in a call (default 10)")
    parser.add_argument("--calls", type=int, default=5, help="timed calls (default 5)")
    parser.add_argument("--sampler-steps", type=int, default=250)
    parser.add_argument("--sampler-batch", type=int, default=64)
    parser.add_argument("--tiny", action="store_true", help="two narrow blocks, a batch of 8: only to see that it runs")
    options = parser.parse_args()
    if options.tiny:
        options.models, options.batch, options.sampler_batch = ["S/8"], 8, 4
        options.steps, options.calls, options.sampler_steps = 2, 1, 4
    return options


def training_row(name: str, options: argparse.Namespace, peak: accounting.DevicePeak | None) -> str:
    """Return the table's row of the model's training step, or of the memory that it lacked."""
    run = run_spec(name, options)
    head = f"| {name} | {options.dtype} | {options.batch} | {options.remat} | {options.attention} "
    try:
        program = Program(run)
        state = program.init()
        images, labels = batches(options)
        started = time.perf_counter()
        state = waited(program.advance(state, images, labels)[0])
        compiled = time.perf_counter() - started
        state = waited(program.advance(state, images, labels)[0])
        started = time.perf_counter()
        for _ in range(options.calls):
            state, _ = program.advance(state, images, labels)
        waited(state)
    except jax.errors.JaxRuntimeError as error:
        return f"{head}| {str(error).splitlines()[0][:80]} |"
    speed = options.calls * options.steps / (time.perf_counter() - started)
    macs = accounting.training_macs(run.network, options.batch, 1) * speed
    used = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    memory = f"{used / GIB:.1f}" if used else "-"
    return f"{head}| {compiled:.1f} | {speed:.2f} | {speed * options.batch:.0f} | {share(macs, peak)} | {memory} |"


def sampling_row(name: str, options: argparse.Namespace, peak: accounting.DevicePeak | None) -> str:
    """Return the table's row of sampling one chunk with guidance."""
    config = run_spec(name, options).network
    model = DiT(config, nnx.Rngs(0), dtype=options.dtype, attention=options.attention)
    diffusion = Diffusion(Schedule.linear()).respace(options.sampler_steps)
    labels = np.arange(options.sampler_batch) % config.classes

    def draw(seed: int) -> float:
        """Return the seconds that one chunk takes."""
        started, guidance = time.perf_counter(), {"guidance": 1.5, "null_label": config.classes}
        list(sample_chunks(model, diffusion, labels, jax.random.key(seed), chunk=len(labels), **guidance))
        return time.perf_counter() - started

    first, seconds = draw(0), draw(1)
    macs = accounting.sampling_macs(config, options.sampler_steps, guided=True) * len(labels) / seconds
    return (
        f"| {name} | {options.dtype} | {len(labels)} | {options.sampler_steps} | 1.5 | {first - seconds:.1f} "
        f"| {len(labels) / seconds:.2f} | {options.sampler_steps / seconds:.1f} | {share(macs, peak)} |"
    )


def run_spec(name: str, options: argparse.Namespace) -> RunSpec:
    """Return the paper's run of that model, or a tiny one."""
    size, _, patch = name.partition("/")
    shape = TINY if options.tiny else SIZES[size]._asdict()
    return RunSpec.model_validate(
        {
            "model": {"size": size, "patch": int(patch), "image_size": 32, **shape},
            "data": {"name": "random"},
            "train": {"batch": options.batch, "accumulate": options.accumulate, "dtype": options.dtype},
            "evaluate": {"every": 100},
            "execution": {"remat": options.remat, "attention": options.attention},
        }
    )


def batches(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Return random latents and labels for one call."""
    random = np.random.default_rng(0)
    shape = options.steps, options.batch
    return random.standard_normal((*shape, 32, 32, 4), np.float32), random.integers(0, 1000, shape, np.int32)


def waited(state: Any) -> Any:
    """Return the state once it is computed."""
    return jax.block_until_ready(state)


def share(macs_per_s: float, peak: accounting.DevicePeak | None) -> str:
    """Return the utilisation in per cent, or a dash where the peak is not known."""
    return f"{accounting.model_flops_utilization(macs_per_s, peak.flops_per_s):.1%}" if peak else "-"


if __name__ == "__main__":
    main()
