"""Guided samples by the respaced DDPM chain: latents from noise, nothing decoded."""

from collections.abc import Callable

from dit_grid.orchestrator.bench.contests import OURS
from dit_grid.orchestrator.bench.networks import GUIDANCE, SAMPLER_STEPS, batch, config, torch_shape


def ours(case: str, threads: int) -> Callable[[], None]:
    """The sampler of evaluations."""
    import jax
    import numpy as np
    from flax import nnx

    from dit_grid.model import Diffusion, DiT, Schedule, sample_chunks

    of, diffusion = config(case), Diffusion(Schedule.linear()).respace(SAMPLER_STEPS)
    model, labels = DiT(of, nnx.Rngs(0)), np.arange(batch(case))

    def draw() -> None:
        key = jax.random.key(0)
        list(sample_chunks(model, diffusion, labels, key, chunk=len(labels), guidance=GUIDANCE, null_label=of.classes))

    return draw


def _torch(compiled: bool) -> Callable[[str, int], Callable[[], object]]:
    def make(case: str, threads: int) -> Callable[[], object]:
        import torch

        from dit_grid.orchestrator.bench.torch_dit import sampler

        torch.set_num_threads(threads)
        return sampler(
            **torch_shape(case), images=batch(case), steps=SAMPLER_STEPS, guidance=GUIDANCE, compiled=compiled
        )

    return make


WAYS = {OURS: ours, "torch": _torch(False), "torch.compile": _torch(True)}
