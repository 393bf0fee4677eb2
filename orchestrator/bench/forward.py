"""A forward pass in float32: our network, and the same of the library diffusers with random weights."""

from collections.abc import Callable

from dit_grid.orchestrator.bench.contests import OURS
from dit_grid.orchestrator.bench.networks import CHANNELS, CLASSES, SIDE, batch, config, shape


def ours(case: str, threads: int) -> Callable[[], object]:
    """The network, compiled."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from dit_grid.model import DiT

    images = batch(case)
    x, t = jnp.ones((images, SIDE, SIDE, CHANNELS)), jnp.arange(images) * 100
    model, labels = DiT(config(case), nnx.Rngs(0)), jnp.arange(images)
    forward = nnx.jit(lambda model, x, t, labels: model(x, t, labels))
    return lambda: jax.block_until_ready(forward(model, x, t, labels))


def diffusers(case: str, threads: int) -> Callable[[], object]:
    """DiTTransformer2DModel with the same depth, width, heads and patch."""
    import torch
    from diffusers import DiTTransformer2DModel

    torch.set_num_threads(threads)
    of, images = shape(case), batch(case)
    model = DiTTransformer2DModel(
        num_attention_heads=of["heads"], attention_head_dim=of["width"] // of["heads"], num_layers=of["depth"],
        in_channels=CHANNELS, out_channels=2 * CHANNELS, sample_size=SIDE, patch_size=of["patch"],
        num_embeds_ada_norm=CLASSES, norm_type="ada_norm_zero", norm_elementwise_affine=False,
    ).eval()  # fmt: skip
    x, t, labels = torch.ones(images, CHANNELS, SIDE, SIDE), torch.arange(images) * 100, torch.arange(images)

    def forward() -> object:
        with torch.no_grad():
            return model(x, timestep=t, class_labels=labels)

    return forward


WAYS = {OURS: ours, "diffusers": diffusers}
