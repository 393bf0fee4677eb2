"""One optimizer update of a DiT, and many of them as one compiled program: a pure function of (state, batches).

Noise, timesteps and dropped labels are functions of (seed, step), never of history, so a resumed run repeats them.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from dit_grid.experiments.spec.run import DiffusionSpec, OptimizerSpec, RunSpec
from dit_grid.model import Diffusion, DiT, Schedule, drop_labels
from dit_grid.model.ema import ema_decay, ema_update

INIT_STREAM, NOISE_STREAM = 0, 1
"""Which branch of the run's key initialisation and noise are drawn from."""


class TrainState(NamedTuple):
    """Everything a checkpoint holds. `step` counts completed updates."""

    step: jax.Array
    params: Any
    ema: Any
    optimizer: Any


class Losses(NamedTuple):
    """Scalars of one update, or their means over several."""

    loss: jax.Array
    mse: jax.Array
    vb: jax.Array
    grad_norm: jax.Array


class Program:
    """The compiled functions of one run: `init`, `advance` and the network that evaluation samples from."""

    def __init__(self, run: RunSpec) -> None:
        self.run = run
        self.key = jax.random.key(run.seed)
        self.diffusion = make_diffusion(run.diffusion)
        self.optimizer = make_optimizer(run.train.optimizer, run.train.steps)
        self.graph, _ = nnx.split(nnx.eval_shape(self._network), nnx.Param)
        self.init = jax.jit(self._init)
        self.advance = jax.jit(self._advance, donate_argnums=0)
        self.norm = jax.jit(optax.tree.norm)

    def network(self, params: Any) -> DiT:
        """Return the network with these parameters."""
        return nnx.merge(self.graph, params)

    def _network(self) -> DiT:
        train, execution = self.run.train, self.run.execution
        rngs = nnx.Rngs(jax.random.fold_in(self.key, INIT_STREAM))
        return DiT(self.run.network, rngs, dtype=train.dtype, remat=execution.remat)

    def _init(self) -> TrainState:
        params = nnx.state(self._network(), nnx.Param)
        return TrainState(jnp.zeros((), jnp.int32), params, params, self.optimizer.init(params))

    def _advance(self, state: TrainState, images: jax.Array, labels: jax.Array) -> tuple[TrainState, Losses]:
        """Return the state after one update a batch (K, B, H, W, C), (K, B), and the mean losses over them."""
        state, losses = jax.lax.scan(lambda s, batch: self._update(s, *batch), state, (images, labels))
        return state, jax.tree.map(jnp.mean, losses)

    def _update(self, state: TrainState, images: jax.Array, labels: jax.Array) -> tuple[TrainState, Losses]:
        ema = self.run.train.ema
        key = jax.random.fold_in(jax.random.fold_in(self.key, NOISE_STREAM), state.step)
        grads, (loss, mse, vb) = self._gradient(state.params, key, images, labels)
        updates, optimizer = self.optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        average = ema_update(state.ema, params, ema_decay(state.step + 1, ema.decay, ema.warmup))
        losses = Losses(loss, mse, vb, optax.tree.norm(grads))
        return TrainState(state.step + 1, params, average, optimizer), losses

    def _gradient(self, params: Any, key: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[Any, tuple]:
        """Return the gradient of the mean loss and the mean (loss, mse, vb), over `accumulate` parts of the batch."""
        parts = self.run.train.accumulate
        noised = _split(self._noised(key, images, labels), parts)
        if parts == 1:
            return self._part_gradient(params, jax.tree.map(lambda part: part[0], noised))

        def add(total: Any, part: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, self._part_gradient(params, part)), None

        zero = jax.tree.map(jnp.zeros_like, (params, (jnp.zeros(()),) * 3))
        total, _ = jax.lax.scan(add, zero, noised)
        return jax.tree.map(lambda value: value / parts, total)

    def _noised(self, key: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, ...]:
        """Draw timesteps, noise and dropped labels for the whole batch, whatever its division into parts or devices."""
        t_key, noise_key, drop_key = jax.random.split(key, 3)
        t = jax.random.randint(t_key, labels.shape, 0, self.run.diffusion.timesteps)
        noise = jax.random.normal(noise_key, images.shape)
        return images, t, noise, drop_labels(drop_key, labels, self.run.model.classes, self.run.train.class_dropout)

    def _part_gradient(self, params: Any, part: tuple[jax.Array, ...]) -> tuple[Any, tuple]:
        def loss(params: Any) -> tuple[jax.Array, tuple]:
            images, t, noise, labels = part
            network = self.network(params)
            terms = self.diffusion.training_losses(lambda x, t: network(x, t, labels), images, t, noise)
            means = tuple(jnp.mean(terms.get(name, 0.0)) for name in ("loss", "mse", "vb"))
            return means[0], means

        grads, means = jax.grad(loss, has_aux=True)(params)
        return grads, means


def make_diffusion(spec: DiffusionSpec) -> Diffusion:
    """Return the diffusion that the spec names, over its full schedule."""
    schedule = {"linear": Schedule.linear, "cosine": Schedule.cosine}[spec.schedule](spec.timesteps)
    return Diffusion(schedule, prediction=spec.prediction, variance=spec.variance)


def make_optimizer(spec: OptimizerSpec, steps: int) -> optax.GradientTransformation:
    """Return the optax optimizer that the spec names, with its learning-rate schedule and clipping."""
    rate = learning_rate(spec, steps)
    betas = {"b1": spec.beta1, "b2": spec.beta2}
    update = {
        "adamw": lambda: optax.adamw(rate, **betas, weight_decay=spec.weight_decay),
        "adam": lambda: optax.adam(rate, **betas),
        "lion": lambda: optax.lion(rate, **betas, weight_decay=spec.weight_decay),
        "sgd": lambda: optax.sgd(rate, momentum=spec.beta1),
    }[spec.name]()
    return optax.chain(optax.clip_by_global_norm(spec.clip_norm), update) if spec.clip_norm else update


def learning_rate(spec: OptimizerSpec, steps: int) -> optax.Schedule:
    """Return the schedule step -> learning rate: a linear warm-up, then constant, or falling to 0 at `steps`."""
    decay_steps = max(steps - spec.warmup_steps, 1)
    body = {
        "constant": lambda: optax.constant_schedule(spec.learning_rate),
        "cosine": lambda: optax.cosine_decay_schedule(spec.learning_rate, decay_steps),
        "linear": lambda: optax.linear_schedule(spec.learning_rate, 0.0, decay_steps),
    }[spec.schedule]()
    if not spec.warmup_steps:
        return body
    warmup = optax.linear_schedule(0.0, spec.learning_rate, spec.warmup_steps)
    return optax.join_schedules([warmup, body], [spec.warmup_steps])


def _split(batch: tuple[jax.Array, ...], parts: int) -> tuple[jax.Array, ...]:
    return tuple(array.reshape(parts, -1, *array.shape[1:]) for array in batch)
