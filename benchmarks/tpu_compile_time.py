"""Processor seconds that the TPU compiler takes for the autoencoder, by the passes of bfloat16 of its products.

    uv sync --extra tpu
    uv run --no-sync python benchmarks/tpu_compile_time.py decode high decode highest encode high encode highest

Needs no TPU. Each pair of a program and a precision is compiled in turn for one host of a v3 slice, eight images of 256
pixels a core. Prints wall and processor seconds of the compiler, and the milliseconds that its cycles come to.
"""

import argparse
import os
import time

from dit_grid.orchestrator.compiling.child import ENVIRONMENT, topology_devices
from dit_grid.orchestrator.compiling.generations import generation_of, host_of

SLICE = "v3-32"
BATCH = 8


def main() -> None:
    """Compile what is asked for and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", help="decode or encode, then default, high or highest, in turn")
    parser.add_argument("--side", type=int, default=32, help="latents a side")
    asked = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    for program, precision in zip(asked.pairs[::2], asked.pairs[1::2], strict=True):
        print(program, precision, compiled(program, precision, asked.side), flush=True)


def compiled(program: str, precision: str, side: int) -> str:
    """Return what the compiler took for the program, and says of it."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from dit_grid.experiments.networks import autoencoder
    from dit_grid.experiments.networks.local_devices import as_shapes, compiled_for, rows_sharding, whole_sharding
    from dit_grid.orchestrator.compiling.costs import costs_of
    from dit_grid.orchestrator.compiling.hlo import read_module

    host = host_of(SLICE)
    devices = topology_devices({"topology": host.name, "host": host.host, "config": host.config})
    autoencoder.precision = lambda: precision
    images, config = BATCH * len(devices), autoencoder.VAEConfig()
    with compiled_for(devices):
        graph, state = nnx.split(nnx.eval_shape(lambda: autoencoder.AutoencoderKL(config, nnx.Rngs(0))))
        shape = (side, side, config.latent_channels) if program == "decode" else (8 * side, 8 * side, config.channels)
        taken = as_shapes(jax.ShapeDtypeStruct((images, *shape), jnp.float32), rows_sharding(images))
        run = jax.jit(lambda weights, array: getattr(nnx.merge(graph, weights), program)(array))
        lowered = run.lower(as_shapes(state, whole_sharding()), taken)
    wall, processor = time.perf_counter(), time.process_time()
    executable = lowered.compile()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    cycles = costs_of(read_module(executable.as_text()), [0] * len(devices)).cycles
    estimated_ms = 1e3 * cycles / (generation_of(SLICE).clock_hz or 1)
    return f"{wall:.1f} s, {processor:.1f} processor s; estimated {estimated_ms:.0f} ms"


if __name__ == "__main__":
    main()
