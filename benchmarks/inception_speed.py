"""Images a second through the FID network on one CPU thread, ours and torch's, pairwise in one run.

    python benchmarks/inception_speed.py                          ours alone, half a minute
    python benchmarks/inception_speed.py --torch PYTHON           also torch's layers under that interpreter, a minute

Prints one line a program and batch size: images a second of wall time and of CPU time, the best of `--repeats` calls.
Weights are random; torch's network has the same 94 convolutions with batch norm, once contiguous, once channels-last
(as torch-fidelity runs it). Both programs are held to one thread; run it on a quiet machine.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def main() -> None:
    """Measure each program in a process of its own, held to one thread, and print its speeds."""
    arguments = parse()
    if arguments.only:
        run = {"ours": ours, "torch": torchs}[arguments.only]
        print(json.dumps(run(arguments.batches, arguments.repeats)))
        return
    for name, python in (("ours", sys.executable), ("torch", arguments.torch)):
        if python:
            batches = [str(batch) for batch in arguments.batches]
            command = [python, __file__, "--only", name, "--repeats", str(arguments.repeats), "--batches", *batches]
            done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=True)
            for line, (wall, cpu) in json.loads(done.stdout.splitlines()[-1]).items():
                print(f"{line:32} {wall:6.2f} images/s wall, {cpu:6.2f} a CPU second")


def ours(batches: list[int], repeats: int) -> dict[str, tuple[float, float]]:
    """Our network, batch norm folded in."""
    import numpy as np
    from flax import nnx

    from dit_grid.experiments.networks.inception import Inception, features

    network = Inception(nnx.Rngs(0))
    found = {}
    for batch in batches:
        images = np.random.default_rng(0).integers(0, 256, (batch, 299, 299, 3), dtype=np.uint8)
        found[f"ours, batch {batch}"] = speed(lambda x=images: np.asarray(features(network, x).pool), batch, repeats)
    return found


def torchs(batches: list[int], repeats: int) -> dict[str, tuple[float, float]]:
    """The same convolutions in torch, from the graph's own description, which needs nothing but Python."""
    import importlib.util
    from pathlib import Path

    import torch

    torch.set_num_threads(1)
    file = Path(__file__).parents[1] / "experiments" / "metrics" / "inception_graph.py"
    spec = importlib.util.spec_from_file_location("inception_graph", file)
    assert spec is not None
    assert spec.loader is not None
    graph = importlib.util.module_from_spec(spec)
    sys.modules["inception_graph"] = graph
    spec.loader.exec_module(graph)

    def conv(step: "graph.Convolution", channels: int) -> torch.nn.Module:
        """Return a convolution with its batch norm, as torch-fidelity's network has it."""
        pads = tuple((k - 1) // 2 if step.padding == "SAME" else 0 for k in step.kernel)
        layer = torch.nn.Conv2d(channels, step.features, step.kernel, step.stride, pads, bias=False)
        norm = torch.nn.BatchNorm2d(step.features, eps=1e-3)
        average = [torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False)] if step.averaged else []
        return torch.nn.Sequential(*average, layer, norm, torch.nn.ReLU(inplace=True))

    layers = {step.name: conv(step, channels).eval() for step, channels in graph.convolutions()}

    def run(chain: tuple, x: torch.Tensor) -> torch.Tensor:
        """Return what a chain of layers makes of images (N, C, H, W)."""
        for step in chain:
            if isinstance(step, graph.Convolution):
                x = layers[step.name](x)
            elif isinstance(step, graph.MaxPool):
                x = torch.nn.functional.max_pool2d(x, 3, step.stride, 1 if step.stride == 1 else 0)
            else:
                x = torch.cat([run(branch, x) for branch in step.branches], dim=1)
        return x

    found = {}
    for form in (torch.contiguous_format, torch.channels_last):
        for layer in layers.values():
            layer.to(memory_format=form)
        name = "torch, channels-last" if form == torch.channels_last else "torch"
        for batch in batches:
            images = torch.randn(batch, 3, 299, 299).to(memory_format=form)

            def call(x: torch.Tensor = images) -> None:
                """Put the images through the whole network."""
                with torch.inference_mode():
                    for chain in (graph.STEM, *graph.MIXED.values()):
                        x = run(chain, x)
                    x.mean(dim=(2, 3))

            found[f"{name}, batch {batch}"] = speed(call, batch, repeats)
    return found


def speed(call: Callable[[], object], images: int, repeats: int) -> tuple[float, float]:
    """Images a second of wall time and of CPU time, the best of so many calls after the first."""
    call()
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return images / min(walls), images / min(cpus)


def parse() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has torch")
    parser.add_argument("--batches", type=int, nargs="+", default=[8])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["ours", "torch"], help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
