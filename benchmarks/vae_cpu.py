"""Encoding and decoding on CPU, images a second, against diffusers' AutoencoderKL in torch, in turns in one process.

    uv sync --group oracle && uv run python benchmarks/vae_cpu.py --size 256 --batch 1 --repeats 5

Same random weights on both sides, the published sizes (83.7 million parameters). Prints for each of encode and decode
the images a second of CPU time and of wall time, the median over repeats, their ratio, and the largest difference of
the two results over the largest value. `--threads 1` holds both to one thread: for JAX it must also be set before
start, `taskset -c 0`. At 256 pixels a repeat takes about 25 CPU seconds; `--size 64 --repeats 2` is a minute in all.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import diffusers
import jax
import numpy as np
import torch

from dit_grid.experiments.networks.autoencoder import VAEConfig, compiled_decode, compiled_encode
from dit_grid.experiments.networks.autoencoder_weights import tensor_shapes, vae_of

SCALE = 0.18215


def random_tensors() -> dict[str, np.ndarray]:
    """Weights that keep activations near 1, as trained ones do."""
    draw = np.random.default_rng(0)
    return {
        name: (draw.standard_normal(shape) * np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else np.ones(shape)).astype(
            np.float32
        )
        if not name.endswith("bias")
        else np.zeros(shape, np.float32)
        for name, shape in tensor_shapes(VAEConfig()).items()
    }


def oracle(tensors: dict[str, np.ndarray], channels_last: bool) -> torch.nn.Module:
    """diffusers' network with the same weights."""
    network = diffusers.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, norm_num_groups=32,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    network.load_state_dict({name: torch.tensor(array) for name, array in tensors.items()})
    return network.eval().to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def measure(run: Callable[[], np.ndarray]) -> tuple[np.ndarray, float, float]:
    """The result, and the seconds of CPU and wall time it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    return found, time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    """Build both networks from the same weights and compare encoding and decoding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of torch")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    tensors, draw = random_tensors(), np.random.default_rng(1)
    images = draw.standard_normal((asked.batch, asked.size, asked.size, 3)).astype(np.float32).clip(-1, 1)
    latents = draw.standard_normal((asked.batch, asked.size // 8, asked.size // 8, 4)).astype(np.float32)
    ours = vae_of(VAEConfig(), tensors)
    encode, decode = compiled_encode(ours), compiled_decode(ours)
    sides: dict[str, dict[str, Callable[[], np.ndarray]]] = {
        "encode": {"ours": lambda: encode(images)[0]},
        "decode": {"ours": lambda: decode(latents * SCALE)},
    }
    for name, channels_last in (("torch", False), ("torch channels-last", True)):
        theirs = oracle(tensors, channels_last)
        sides["encode"][name] = lambda n=theirs: back(n.encode(put(images)).latent_dist.mean)  # type: ignore[misc]
        sides["decode"][name] = lambda n=theirs: back(n.decode(put(latents)).sample)  # type: ignore[misc]
    print(f"jax {jax.__version__}, torch {torch.__version__}, {asked.batch} x {asked.size} pixels")
    with torch.inference_mode():
        for what, runs in sides.items():
            compare(what, runs, asked.batch, asked.repeats)


def compare(what: str, runs: dict[str, Callable[[], np.ndarray]], batch: int, repeats: int) -> None:
    """Run all in turns, once unmeasured, and print how they compare."""
    results = {name: run() for name, run in runs.items()}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            seconds[name].append(measure(run)[1:])
    known = results["torch"]
    for name, took in seconds.items():
        cpu, wall = (statistics.median(column) for column in zip(*took, strict=True))
        error = np.abs(results[name] - known).max() / np.abs(known).max()
        against = statistics.median(b[0] / a[0] for a, b in zip(took, seconds["torch"], strict=True))
        print(
            f"{what:7} {name:20} {batch / cpu:8.3f} images/CPU s {batch / wall:8.3f} images/s "
            f"{against:6.2f} x torch, difference {error:.1e}"
        )


def put(array_NHWC: np.ndarray) -> torch.Tensor:
    """Return images as torch's network takes them, channels first."""
    return torch.tensor(np.moveaxis(array_NHWC, -1, 1).copy())


def back(tensor_NCHW: torch.Tensor) -> np.ndarray:
    """Return images of torch's network as ours gives them, channels last."""
    return np.moveaxis(tensor_NCHW.numpy(), 1, -1)


if __name__ == "__main__":
    main()
