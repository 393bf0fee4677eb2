"""Sampling loops, each one compiled program: DDPM, DDIM and DPM-Solver++, and any number of samples in chunks.

A network is any function of noised images, timesteps and labels. Single steps are `dit_grid.model.diffusion`, loops
along a flow `flow_samplers`; decoding latents and writing images are not here.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dit_grid.model.diffusion import Diffusion
from dit_grid.model.dit import DiT
from dit_grid.model.entry_points import loaded, registered
from dit_grid.model.flow import Flow, Process
from dit_grid.model.flow_samplers import sample_flow
from dit_grid.model.guidance import (
    PAPER_GUIDANCE_CHANNELS as PAPER_GUIDANCE_CHANNELS,
    ConditionalNetwork,
    Guidance,
    guided,
    normal,
    sample_keys,
)

Sampler = Literal["ddpm", "ddim", "dpmpp-2m"]


def sample(
    model_fn: ConditionalNetwork,
    diffusion: Diffusion,
    x_T: jax.Array,
    labels: Any,
    key: jax.Array,
    *,
    sampler: Sampler = "ddpm",
    eta: float = 0.0,
    guidance: float = 1.0,
    guidance_channels: int | None = PAPER_GUIDANCE_CHANNELS,
    guidance_interval: tuple[float, float] | None = None,
    null_label: Any = None,
    clip: bool = False,
    noise_fn: Callable[[jax.Array], jax.Array] | None = None,
) -> jax.Array:
    """Samples (B, H, W, C) from noise x_T over all steps of the diffusion's schedule, as one `lax.scan`.

    `labels` is (B,) or any pytree that the network takes, and `null_label` its unconditional counterpart. Sample i's
    noise depends on fold_in(key, i) alone; `key` may also be one key a sample (B,). `noise_fn(k)` replaces the noise of
    the k-th update, k from 0. `eta` is for DDIM. Deterministic samplers ignore `key`.
    """
    network = guided(model_fn, Guidance(guidance, guidance_channels, guidance_interval), null_label)
    update = _update(sampler, diffusion, eta, clip)
    keys_B = sample_keys(key, x_T.shape[0])
    draw = noise_fn or (lambda k: normal(keys_B, k + 1, x_T.shape[1:]))
    deterministic = sampler == "dpmpp-2m" or (sampler == "ddim" and eta == 0)

    def body(carry: tuple[jax.Array, jax.Array], k: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        x, previous_x0 = carry
        t_B = jnp.full(x.shape[:1], diffusion.schedule.steps - 1 - k)
        output = network(x, diffusion.timesteps(t_B), labels)
        noise = jnp.zeros_like(x) if deterministic else draw(k)
        return update(output, x, t_B, noise, previous_x0), None

    (x, _), _ = jax.lax.scan(body, (x_T, jnp.zeros_like(x_T)), jnp.arange(diffusion.schedule.steps))
    return x


def sample_chunks(
    model: DiT,
    diffusion: Process,
    labels: Any,
    key: jax.Array,
    *,
    chunk: int,
    numbers: np.ndarray | None = None,
    mesh: Mesh | None = None,
    compiler_options: Mapping[str, bool | int] | None = None,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Yields samples for all labels in order, `chunk` at a time, so that memory and not their number sets the limit.

    Sample i depends on (key, numbers[i]) and its label alone, never on `chunk`; `numbers` count from 0 unless given, as
    for a part of a larger set, or for several labels that share their noise. `options` are those of `sample`, all
    hashable; the program is compiled once for a network, diffusion, chunk size and set of options, with XLA's
    `compiler_options` if any. With `mesh` a chunk is divided among its devices, of all hosts that they belong to: each
    host gives all labels and gets all samples.
    """
    total = jax.tree.leaves(labels)[0].shape[0]
    if chunk < 1 or total < 1:
        raise ValueError(f"{total} labels in chunks of {chunk}: both must be at least 1")
    if mesh is not None and chunk % mesh.size:
        raise ValueError(f"chunks of {chunk} do not divide among {mesh.size} devices: use a multiple of {mesh.size}")
    graph, state = nnx.split(model)
    program = _chunk_program(tuple((compiler_options or {}).items()), mesh)
    frozen_options = tuple(sorted(options.items()))
    for start in range(0, total, chunk):
        rows = np.minimum(np.arange(start, start + chunk), total - 1)
        drawn = rows if numbers is None else np.asarray(numbers)[rows]
        part = jax.tree.map(lambda leaf, rows=rows: np.asarray(leaf)[rows], labels)
        if mesh is not None:
            part, drawn = jax.tree.map(functools.partial(_split, mesh), (part, drawn))
        images = program(graph, diffusion, frozen_options, state, part, key, drawn)
        yield np.asarray(images)[: total - start]


def lower_chunk(
    model: DiT, diffusion: Process, labels: Any, *, chunk: int, mesh: Mesh | None = None, **options: Any
) -> tuple[jax.stages.Lowered, Any]:
    """Return the program by which `sample_chunks` draws a chunk, ready to compile, and its arguments beside the model.

    `model` and `labels` (one label, or one of any pytree) are shapes, the model's with their shardings; nothing runs.
    """
    graph, state = nnx.split(model)
    rows = None if mesh is None else NamedSharding(mesh, PartitionSpec(mesh.axis_names))

    def rowed(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((chunk, *leaf.shape), leaf.dtype, sharding=rows)

    part = jax.tree.map(rowed, labels), rowed(jax.ShapeDtypeStruct((), jnp.int32))
    key = jax.eval_shape(lambda: jax.random.key(0))
    program = _chunk_program((), mesh)
    return program.lower(graph, diffusion, tuple(sorted(options.items())), state, part[0], key, part[1]), part


def _split(mesh: Mesh, array: np.ndarray) -> jax.Array:
    """The array with its first axis divided among the mesh's devices."""
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


@functools.cache
def _chunk_program(compiler_options: tuple, mesh: Mesh | None) -> Any:
    whole = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    options = dict(compiler_options)
    return jax.jit(_sample_chunk, static_argnums=(0, 1, 2), out_shardings=whole, compiler_options=options)


def _sample_chunk(
    graph: nnx.GraphDef, diffusion: Process, options: tuple, state: nnx.State, labels: Any, key: jax.Array,
    rows: jax.Array,
) -> jax.Array:  # fmt: skip
    model = nnx.merge(graph, state)
    config = model.config
    keys_B = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
    x_T = normal(keys_B, 0, (config.image_size, config.image_size, config.channels))
    if isinstance(diffusion, Flow):
        return sample_flow(model, diffusion, x_T, labels, keys_B, **dict(options))
    return sample(model, diffusion, x_T, labels, keys_B, **dict(options))


def _update(sampler: str, diffusion: Diffusion, eta: float, clip: bool) -> Callable:
    """One update of a sampler: from (output, x, t, noise, previous x0) to (x, x0).

    Of the entry points `dit_grid.samplers` it is what the registered function returns for (diffusion, eta, clip).
    """
    own = _updates(diffusion, eta, clip)
    if sampler in own:
        return own[sampler]
    if sampler not in registered("samplers"):
        raise ValueError(f"sampler {sampler!r} is not one of {', '.join((*own, *registered('samplers')))}")
    return loaded("samplers", sampler)(diffusion, eta, clip)


def _updates(diffusion: Diffusion, eta: float, clip: bool) -> dict[str, Callable]:
    def ddpm(output: jax.Array, x: jax.Array, t: jax.Array, noise: jax.Array, _: jax.Array) -> tuple:
        x = diffusion.ddpm_step(output, x, t, noise, clip=clip)
        return x, jnp.zeros_like(x)

    def ddim(output: jax.Array, x: jax.Array, t: jax.Array, noise: jax.Array, _: jax.Array) -> tuple:
        x = diffusion.ddim_step(output, x, t, noise, eta=eta, clip=clip)
        return x, jnp.zeros_like(x)

    def dpmpp_2m(output: jax.Array, x: jax.Array, t: jax.Array, _: jax.Array, previous_x0: jax.Array) -> tuple:
        x0 = diffusion.p_mean_variance(output, x, t, clip=clip).x0
        now, before, extrapolation = (jnp.asarray(c, jnp.float32)[t][:, None, None, None] for c in coefficients)
        return now * x + before * (x0 + extrapolation * (x0 - previous_x0)), x0

    coefficients = dpmpp_2m_coefficients(diffusion)
    return {"ddpm": ddpm, "ddim": ddim, "dpmpp-2m": dpmpp_2m}


def dpmpp_2m_coefficients(diffusion: Diffusion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients (steps,) of x_t, of the clean image, and of its extrapolation in each update of DPM-Solver++(2M).

    Lu et al. (2022), algorithm 2, from each step to the one before it. The first update has no history and the last
    goes to zero noise, where the half log signal-to-noise ratio is infinite: both are first order, and the last returns
    the clean image itself. Unlike the paper, no update extrapolates further than equal steps would: steps even in time
    grow in that ratio towards the image, and with 20 of an exactly known network the error falls from 0.070 to 0.016.
    """
    s = diffusion.schedule
    sigma, sigma_prev = s.sqrt_one_minus_alphas_cumprod, np.sqrt(1 - s.alphas_cumprod_prev)
    half_log_snr = np.log(s.sqrt_alphas_cumprod / sigma)
    h = -np.diff(half_log_snr, prepend=np.inf)  # h[t] = lambda of step t-1 minus lambda of step t
    of_x = sigma_prev / sigma
    of_x0 = -np.sqrt(s.alphas_cumprod_prev) * np.expm1(-h)
    extrapolation = np.zeros(s.steps)
    extrapolation[1:-1] = np.minimum(h[1:-1] / h[2:], 1) / 2
    return of_x, of_x0, extrapolation
