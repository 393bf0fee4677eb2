"""Sampling along a flow, each loop one compiled program: Euler and Heun, deterministic and stochastic, as SiT has them.

What the network's output means at one time is `dit_grid.model.flow`. Adaptive solvers are not here: their cost depends
on the sample, and a law needs to know it.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from dit_grid.model.flow import Flow
from dit_grid.model.guidance import (
    PAPER_GUIDANCE_CHANNELS,
    ConditionalNetwork,
    Guidance,
    guided,
    normal,
    sample_keys,
)
from dit_grid.model.paths import DiffusionForm, diffusion_of

FlowSampler = Literal["ode-euler", "ode-heun", "sde-euler", "sde-heun"]
LastStep = Literal["none", "mean", "euler", "tweedie"]

LAST_STEP_SIZE = 0.04
"""The reference implementation's, whatever the number of steps."""


class Stochastic(NamedTuple):
    """What a stochastic sampler adds and how it ends; the defaults are the reference implementation's.

    `form` and `norm` are the diffusion's. The last step goes from 1 - `last_step_size` to the image without noise:
    along the stochastic drift ("mean"), the flow ("euler"), or to the image expected there ("tweedie").
    """

    form: DiffusionForm = "sigma"
    norm: float = 1.0
    last_step: LastStep = "mean"
    last_step_size: float = LAST_STEP_SIZE


def sample_flow(
    model_fn: ConditionalNetwork,
    flow: Flow,
    x: jax.Array,
    labels: Any,
    key: jax.Array,
    *,
    sampler: FlowSampler = "ode-heun",
    form: DiffusionForm = "sigma",
    norm: float = 1.0,
    last_step: LastStep = "mean",
    last_step_size: float = LAST_STEP_SIZE,
    guidance: float = 1.0,
    guidance_channels: int | None = PAPER_GUIDANCE_CHANNELS,
    guidance_interval: tuple[float, float] | None = None,
    null_label: Any = None,
    reverse: bool = False,
    noise_fn: Callable[[jax.Array], jax.Array] | None = None,
) -> jax.Array:
    """Samples (B, H, W, C) from noise x over the flow's grid of `steps` times, which is steps - 1 updates.

    Labels, keys and guidance are as in `samplers.sample`, the guidance's interval in times. `form` to `last_step_size`
    are of the stochastic samplers, as in `Stochastic`; `reverse` takes the deterministic ones from images to noise.
    `noise_fn(k)` replaces the noise of the k-th update.
    """
    if sampler not in get_args(FlowSampler):
        raise ValueError(f"sampler {sampler!r} of a flow is not one of {', '.join(get_args(FlowSampler))}")
    network = guided(model_fn, Guidance(guidance, guidance_channels, guidance_interval), null_label)

    def predicted(x: jax.Array, t: jax.Array) -> jax.Array:
        return network(x, jnp.broadcast_to(t, x.shape[:1]), labels)

    if sampler.startswith("ode"):
        return _deterministic(predicted, flow, x, heun=sampler == "ode-heun", reverse=reverse)
    keys_B = sample_keys(key, x.shape[0])
    draw = noise_fn or (lambda k: normal(keys_B, k + 1, x.shape[1:]))
    how = Stochastic(form, norm, last_step, last_step_size)
    return _stochastic(predicted, flow, x, draw, how, heun=sampler == "sde-heun")


Predicted = Callable[[jax.Array, jax.Array], jax.Array]


def _deterministic(predicted: Predicted, flow: Flow, x: jax.Array, *, heun: bool, reverse: bool) -> jax.Array:
    times = np.linspace(*flow.ode_interval(reverse), flow.steps)
    # A predicted image has no velocity at t = 1, where it is the sample: the last update, Euler's on the linear path.
    to_image = flow.prediction == "x0" and not reverse

    def velocity(output: jax.Array, x: jax.Array, t: jax.Array) -> jax.Array:
        return flow.velocity(output, x, jnp.broadcast_to(t, x.shape[:1]))

    def euler_update(x: jax.Array, step: tuple[Any, jax.Array]) -> tuple[jax.Array, None]:
        (t, _, dt), is_last = step
        output = predicted(x, t)
        moved = x + dt * velocity(output, x, t)
        return jnp.where(is_last, output[..., : x.shape[-1]], moved) if to_image else moved, None

    def heun_update(x: jax.Array, ends: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        t, after, dt = ends
        first = velocity(predicted(x, t), x, t)
        there = x + dt * first
        return x + dt / 2 * (first + velocity(predicted(there, after), there, after)), None

    if not heun:  # with its last update among the others the network is compiled once
        updates = flow.steps - 1
        return jax.lax.scan(euler_update, x, (_ends(times), jnp.arange(updates) == updates - 1))[0]
    x, _ = jax.lax.scan(heun_update, x, _ends(times[:-1] if to_image else times))
    return predicted(x, jnp.float32(times[-2]))[..., : x.shape[-1]] if to_image else x


def _stochastic(
    predicted: Predicted, flow: Flow, x: jax.Array, draw: Callable[[jax.Array], jax.Array], how: Stochastic, *,
    heun: bool,
) -> jax.Array:  # fmt: skip
    size = how.last_step_size if how.last_step != "none" else 0.0
    low, high = flow.sde_interval(how.form, size, ends_inside=heun)

    def drift(x: jax.Array, t: jax.Array) -> jax.Array:
        t_B = jnp.broadcast_to(t, x.shape[:1])
        output = predicted(x, t)
        return flow.velocity(output, x, t_B) + diffusion_of(how.form, how.norm, flow.path, t) * flow.score(
            output, x, t_B
        )

    def update(x: jax.Array, step: tuple[Any, jax.Array]) -> tuple[jax.Array, None]:
        (t, after, dt), k = step
        noise = jnp.sqrt(2 * dt * diffusion_of(how.form, how.norm, flow.path, t)) * draw(k)
        if not heun:
            return x + dt * drift(x, t) + noise, None
        x = x + noise
        first = drift(x, t)
        return x + dt / 2 * (first + drift(x + dt * first, after)), None

    x, _ = jax.lax.scan(update, x, (_ends(np.linspace(low, high, flow.steps)), jnp.arange(flow.steps - 1)))
    end = jnp.float32(high)
    if how.last_step == "none":
        return x
    if how.last_step == "mean":
        return x + size * drift(x, end)
    t_B, output = jnp.broadcast_to(end, x.shape[:1]), predicted(x, end)
    if how.last_step == "euler":
        return x + size * flow.velocity(output, x, t_B)
    at = flow.at(t_B)
    return (x + jnp.square(at.sigma) * flow.score(output, x, t_B)) / at.alpha


def _ends(times: np.ndarray) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Beginning, end and length of every update."""
    begin, after = times[:-1], times[1:]
    return tuple(jnp.asarray(part, jnp.float32) for part in (begin, after, after - begin))  # type: ignore[return-value]
