"""What every sampling loop shares: classifier-free guidance, and noise that depends on a sample's number alone.

A network is any function of noised images, times and labels.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

ConditionalNetwork = Callable[[jax.Array, jax.Array, Any], jax.Array]

PAPER_GUIDANCE_CHANNELS = 3
"""Leading latent channels that the paper's guidance acts on, of four (facebookresearch/DiT, issue 41)."""


@dataclasses.dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance: null + scale * (conditional - null); scale 1 is none and costs nothing.

    It acts on the leading `channels` of the noise, or on all for None; the rest, and the variance, stay conditional.
    With `interval` it acts only while the timestep is in [low, high] of the full schedule, outside which the network
    runs once (Kynkäänniemi et al. 2024, with timesteps for noise levels).
    """

    scale: float = 1.0
    channels: int | None = PAPER_GUIDANCE_CHANNELS
    interval: tuple[float, float] | None = None


def guided(model_fn: ConditionalNetwork, guidance: Guidance, null: Any) -> ConditionalNetwork:
    """The network with guidance, conditional and null halves in one batch. `null` is one null label, or a row of them.

    Raises ValueError if guidance is asked for without `null`.
    """
    if guidance.scale == 1.0:
        return model_fn
    if null is None:
        raise ValueError(f"guidance {guidance.scale} needs null_label: the label that stands for no class")

    def both(x: jax.Array, t_B: jax.Array, y: Any) -> jax.Array:
        null_y = jax.tree.map(lambda leaf, value: jnp.broadcast_to(jnp.asarray(value, leaf.dtype), leaf.shape), y, null)
        twice = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), (x, t_B, y), (x, t_B, null_y))
        conditional, without = jnp.split(model_fn(*twice), 2)
        C = x.shape[-1] if guidance.channels is None else min(guidance.channels, x.shape[-1])
        noise = without[..., :C] + guidance.scale * (conditional[..., :C] - without[..., :C])
        return jnp.concatenate([noise, conditional[..., C:]], axis=-1)

    def within_interval(x: jax.Array, t_B: jax.Array, y: Any) -> jax.Array:
        low, high = guidance.interval or (0, 0)
        inside = (t_B[0] >= low) & (t_B[0] <= high)
        return jax.lax.cond(inside, both, model_fn, x, t_B, y)

    return both if guidance.interval is None else within_interval


def sample_keys(key: jax.Array, batch: int) -> jax.Array:
    """One key a sample (batch,): those given, or of one key the i-th folded in."""
    one = (jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0) or (
        key.dtype == jnp.uint32 and key.ndim == 1
    )
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch)) if one else key


def normal(keys_B: jax.Array, step: jax.Array | int, shape: tuple[int, ...]) -> jax.Array:
    """Normal noise (B, *shape) of a step, a function of each sample's key and the step alone."""
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, step), shape))(keys_B)
