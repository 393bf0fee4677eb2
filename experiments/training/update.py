"""One optimizer update of a DiT, and many of them as one compiled program: a pure function of (state, batches).

Noise, timesteps and dropped labels are functions of (seed, step), never of history, so a resumed run repeats them.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from dit_grid.experiments.data.conditions import drop_conditions
from dit_grid.experiments.spec.run import DiffusionSpec, RunSpec
from dit_grid.experiments.training.carried_state import PACKED_PARAMS, AsItIs, ByBlocks, Carried, Packed, TrainState
from dit_grid.experiments.training.compiler_options import quick_compile
from dit_grid.experiments.training.optimizer import make_optimizer
from dit_grid.experiments.training.sharding import (
    batch_sharding,
    device_mesh,
    put_batch,
    rows_sharding,
    state_sharding,
    tensor_axis,
)
from dit_grid.model import Context, Diffusion, DiT, Flow, LogitNormal, Schedule, accounting, width_transfer
from dit_grid.model.ema import ema_decay, ema_update
from dit_grid.model.flow import Process

INIT_STREAM, NOISE_STREAM = 0, 1
"""Which branch of the run's key initialisation and noise are drawn from."""


LONG_RUN_MACS = 2e12
"""Training compute above which optimised code saves more time than it takes to make: on one CPU core 4 seconds more for
a twentieth less each step, so about 80 seconds of training at 25 GMAC/s."""


CPU_UNROLLED_DEPTH = 12
"""Up to this depth a long run on CPUs has its blocks unrolled: S/2's gradient takes 2.33 s in place of 2.55 on a core,
and 9 s to compile in place of 3."""


TIMESTEP_BINS = 4
"""Equal parts of the timesteps that the loss is also logged for, the least noisy first."""


class Losses(NamedTuple):
    """What updates report: means over them, and for each timestep bin the sum of its losses and how many there are.

    `param_norm` is that of the parameters after the last of them; on CPUs NaN unless a window of `log_every` ends.
    """

    loss: jax.Array
    mse: jax.Array
    vb: jax.Array
    grad_norm: jax.Array
    bin_sums: jax.Array
    bin_counts: jax.Array
    param_norm: jax.Array | None = None


class Program:
    """The compiled functions of one run over all devices of all its hosts, and the network evaluation samples from.

    With `devices` they are for those, which need not be here: `lower_step` compiles for a slice that is elsewhere.
    """

    def __init__(self, run: RunSpec, devices: Sequence[jax.Device] | None = None) -> None:
        self.run = run
        self._seed = np.int32(run.seed)  # an argument, so that runs of all seeds are one compiled program
        self.diffusion = make_diffusion(run.diffusion)
        self.base_width = run.train.base_width if run.train.parametrization == "mup" else None
        self.optimizer = make_optimizer(run.train.optimizer, run.train.steps, self._rate if self.base_width else None)
        self.mesh = device_mesh(run.train.batch // run.train.accumulate, run.execution, devices)
        self.platform = self.mesh.devices.flat[0].platform
        network = nnx.eval_shape(self._network, self._seed)
        self.graph, _ = nnx.split(network, nnx.Param)
        self._shapes = jax.eval_shape(self._init, self._seed)
        self._sharding = sharding = state_sharding(self.mesh, self._shapes, run.execution)
        here = devices is None
        unrolled = network.unroll >= run.model.depth
        self.carried = self._carried(unrolled) if here else AsItIs(self.state_shapes(), sharding)
        once = quick_compile(runs_once=isinstance(self.carried, Packed)) if here else None
        self._start = jax.jit(self._init, out_shardings=sharding, compiler_options=once)
        self.step = jax.jit(
            self._advance, donate_argnums=0,
            out_shardings=(self.carried.sharding, NamedSharding(self.mesh, PartitionSpec())),
            compiler_options=quick_compile() if here and not self._is_long() else None,
        )  # fmt: skip

    def init(self) -> TrainState:
        """Return the state before the first update."""
        return self._start(self._seed)

    def advance(self, state: TrainState, images: np.ndarray, conditions: Any) -> tuple[TrainState, Losses]:
        """Return the state after one update for each batch, and the losses over them.

        Batches are stacked: images (K, B, H, W, C), and labels (K, B) or a Context (K, B, L, E). Every host gives the
        whole global batches and keeps its part. The old state's memory is given up. The new one is as it is `carried`
        from update to update; `whole` gives it the form of `init` and of checkpoints, and both forms are taken.
        """
        sharding = batch_sharding(self.mesh)
        batches = jax.tree.map(lambda array: put_batch(array, sharding), (images, conditions))
        return self.step(self.carried.pack(state), self._seed, *batches)

    def whole(self, state: TrainState) -> TrainState:
        """Return a state with every array by itself, in the form of `init` and of checkpoints."""
        return self.carried.unpack(state)

    def lower_step(self) -> tuple[jax.stages.Lowered, int]:
        """Return one update, traced and ready to compile, and the bytes of its arguments on a device. Nothing runs."""
        rows, batch, model = batch_sharding(self.mesh), self.run.train.batch, self.run.model

        def rowed(one: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((1, batch, *one.shape), one.dtype, sharding=rows)

        image = jax.ShapeDtypeStruct((model.image_size, model.image_size, model.channels), jnp.float32)
        state, batches = self.state_shapes(), jax.tree.map(rowed, (image, condition_shape(self.run)))
        return self.step.lower(self.carried.shapes, self._seed, *batches), bytes_a_device((state, *batches))

    def state_shapes(self) -> TrainState:
        """Return the state as shapes, each with how it lies on the devices."""

        def placed(shape: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)

        return jax.tree.map(placed, self._shapes, self._sharding)

    def _is_long(self) -> bool:
        train = self.run.train
        return accounting.training_macs(self.run.network, train.batch, train.steps) > LONG_RUN_MACS

    def network(self, params: Any) -> DiT:
        """Return the network with these parameters."""
        return nnx.merge(self.graph, params)

    def _network(self, seed: Any) -> DiT:
        train, execution = self.run.train, self.run.execution
        rngs = nnx.Rngs(jax.random.fold_in(jax.random.key(seed), INIT_STREAM))
        rows = rows_sharding(self.mesh) if execution.layout != "replicated" else None
        attention = execution.attention
        if attention == "auto" and self.platform == "tpu":  # which need not be here: "auto" asks this process's devices
            attention = "xla"
        return DiT(
            self.run.network, rngs, dtype=train.dtype, remat=execution.remat, unroll=self._unroll(),
            attention=attention, rows=rows, over=tensor_axis(self.mesh),
        )  # fmt: skip

    def _unroll(self) -> int | None:
        """On CPUs a long run repays the compilation of every block for itself."""
        depth = self.run.model.depth
        return depth if self.platform == "cpu" and depth <= CPU_UNROLLED_DEPTH and self._is_long() else None

    def _carried(self, unrolled: bool) -> Carried:
        """How the state goes from update to update: on one CPU core a small network's as vectors, or by blocks."""
        if self.platform == "cpu" and self.mesh.size == 1:
            if sum(leaf.size for leaf in jax.tree.leaves(self._shapes.params)) <= PACKED_PARAMS:
                return Packed(self._shapes, self.optimizer, self._sharding)
            if unrolled:
                return ByBlocks(self._shapes, self.optimizer, self._sharding)
        return AsItIs(self.state_shapes(), self._sharding)

    def _rate(self, updates: Any) -> Any:
        """Return updates as width transfer has them, of trees or of vectors."""
        assert self.base_width is not None
        rated = partial(width_transfer.rated, width=self.run.model.width, base=self.base_width)
        return self.carried.rated(rated, updates)

    def _init(self, seed: Any) -> TrainState:
        params = nnx.state(self._network(seed), nnx.Param)
        if self.base_width is not None:
            params = width_transfer.initial(params, self.run.network, self.base_width)
        return TrainState(jnp.zeros((), jnp.int32), params, params, self.optimizer.init(params))

    def _advance(self, state: TrainState, seed: Any, images: Any, conditions: Any) -> tuple[TrainState, Losses]:
        noise = jax.random.fold_in(jax.random.key(seed), NOISE_STREAM)
        state, losses = jax.lax.scan(lambda s, batch: self._update(s, noise, *batch), state, (images, conditions))
        sums = {"bin_sums": losses.bin_sums.sum(axis=0), "bin_counts": losses.bin_counts.sum(axis=0)}
        norm = self._param_norm(state, len(images))
        return state, jax.tree.map(jnp.mean, losses)._replace(**sums, param_norm=norm)

    def _param_norm(self, state: TrainState, updates: int) -> jax.Array:
        """The norm of the parameters after so many updates; on CPUs, where it costs a pass, only if a window ends."""
        if self.platform != "cpu" or updates % self.run.train.log_every == 0:
            return optax.tree.norm(state.params)
        ends = state.step % self.run.train.log_every == 0
        return jax.lax.cond(ends, optax.tree.norm, lambda _: jnp.float32(jnp.nan), state.params)

    def _update(self, state: TrainState, noise: jax.Array, images: Any, conditions: Any) -> tuple[TrainState, Losses]:
        ema = self.run.train.ema
        key = jax.random.fold_in(noise, state.step)
        grads, (means, bins) = self._gradient(self.carried.parted(state.params), key, images, conditions)
        grads = self.carried.joined(grads)
        grad_norm = optax.tree.norm(self._apart(grads))
        updates, optimizer = self.optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, self._after(grad_norm, updates))
        average = ema_update(state.ema, params, ema_decay(state.step + 1, ema.decay, ema.warmup))
        losses = Losses(**means, grad_norm=grad_norm, **bins)
        return TrainState(state.step + 1, params, average, optimizer), losses

    def _apart(self, grads: Any) -> Any:
        """On CPUs gradients whose squares nobody shares: else they are written for AdamW's second moment and the norm.

        Each takes them in one pass then: an update of S/8 of the paper takes 312 ms in place of 338.
        """
        return jax.tree.map(jax.lax.optimization_barrier, grads) if self.platform == "cpu" else grads

    def _after(self, grad_norm: jax.Array, updates: Any) -> Any:
        """On CPUs updates that need the norm, and with it all gradients: the same numbers, NaN if one of those is.

        XLA sees by this that no product reads the old parameters any more, and writes the new ones over them; else it
        copies them all before every update (S/8 of the paper 287 → 266 ms). Vectors it writes in place as it is.
        """
        if self.platform != "cpu" or isinstance(self.carried, Packed):
            return updates
        one = jnp.where(jnp.isnan(grad_norm), jnp.nan, 1.0)
        return jax.tree.map(lambda update: update * one, updates)

    def _gradient(self, params: Any, key: jax.Array, images: jax.Array, conditions: Any) -> tuple[Any, Any]:
        """Return the gradient of the mean loss, and the fields of Losses: those that are means, those by timestep bin.

        With `accumulate` the batch goes through in as many parts; noise is drawn for the whole of it first.
        """
        parts = self.run.train.accumulate
        noised = self._noised(key, images, conditions)
        if parts == 1:
            return self._part_gradient(params, noised)

        def add(total: Any, part: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, self._part_gradient(params, part)), None

        noised = jax.tree.map(lambda array: array.reshape(parts, -1, *array.shape[1:]), noised)
        zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(self._part_gradient, params, _first(noised)))
        (grads, (means, bins)), _ = jax.lax.scan(add, zero, noised)
        grads, means = jax.tree.map(lambda value: value / parts, (grads, means))
        return grads, (means, bins)

    def _noised(self, key: jax.Array, images: jax.Array, conditions: Any) -> tuple[Any, ...]:
        """Draw timesteps, noise and dropped conditions for the whole batch, however it is divided."""
        t_key, noise_key, drop_key = jax.random.split(key, 3)
        t = self.diffusion.draw_times(t_key, len(images))
        noise = jax.random.normal(noise_key, images.shape)
        return images, t, noise, drop_conditions(self.run, drop_key, conditions)

    def _part_gradient(self, params: Any, part: tuple[Any, ...]) -> tuple[Any, Any]:
        def loss(params: Any) -> tuple[jax.Array, Any]:
            images, t, noise, condition = part
            network = self.network(params)
            terms = self.diffusion.training_losses(lambda x, t: network(x, t, condition), images, t, noise)
            means = {name: jnp.mean(terms.get(name, 0.0)) for name in ("loss", "mse", "vb")}
            return means["loss"], (means, self._by_timestep(t, terms["loss"]))

        return jax.grad(loss, has_aux=True)(params)

    def _by_timestep(self, t: jax.Array, losses: jax.Array) -> dict[str, jax.Array]:
        """Return the sum of the losses in each timestep bin, and how many there are."""
        member = jax.nn.one_hot(self.diffusion.bins(t, TIMESTEP_BINS), TIMESTEP_BINS, axis=0)
        return {"bin_sums": (member * losses).sum(axis=1), "bin_counts": member.sum(axis=1)}


def make_diffusion(spec: DiffusionSpec) -> Process:
    """Return the process that the spec names: a flow on its path, or the diffusion over its full schedule."""
    times = None if spec.times == "uniform" else LogitNormal(spec.times_mean, spec.times_spread)
    if spec.path:
        return Flow(spec.path, spec.prediction, space=spec.loss, weight=spec.weight, times=times)
    assert spec.prediction != "score", "refused where the spec is read"
    schedule = {"linear": Schedule.linear, "cosine": Schedule.cosine}[spec.schedule](spec.timesteps)
    return Diffusion(schedule, spec.prediction, spec.variance, space=spec.loss, times=times)


def condition_shape(run: RunSpec) -> Any:
    """Return what conditions one image, as shapes: a label, or a Context of its caption."""
    length, width = run.model.context_length, run.model.context_width
    if width is None:
        return jax.ShapeDtypeStruct((), jnp.int32)
    shape = jax.ShapeDtypeStruct
    return Context(shape((length, width), jnp.float32), shape((length,), jnp.bool_))


def bytes_a_device(arrays: Any) -> int:
    """Return the bytes that one device holds of a tree of shapes; those without a sharding are whole on it."""

    def one(array: jax.ShapeDtypeStruct) -> int:
        held = array.shape if array.sharding is None else array.sharding.shard_shape(array.shape)
        return int(np.prod(held)) * array.dtype.itemsize

    return sum(map(one, jax.tree.leaves(arrays)))


def _first(parts: Any) -> Any:
    return jax.tree.map(lambda array: array[0], parts)
