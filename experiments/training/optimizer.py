"""The optimizers and learning-rate schedules that a spec may name, all of them optax's."""

from collections.abc import Callable
from typing import Any

import optax

from dit_grid.experiments.spec.run import OptimizerSpec

Rated = Callable[[Any], Any]
"""From updates to updates, each parameter's times a factor of its own."""


def make_optimizer(spec: OptimizerSpec, steps: int, rated: Rated | None = None) -> optax.GradientTransformation:
    """Return the optax optimizer that the spec names, with its learning-rate schedule and clipping.

    `rated` changes the steps of some parameters before decay and rate; sgd takes none.
    """
    rate = learning_rate(spec, steps)
    betas = {"b1": spec.beta1, "b2": spec.beta2}
    if rated is not None:
        update = _rated(spec, rate, rated)
        return optax.chain(optax.clip_by_global_norm(spec.clip_norm), update) if spec.clip_norm else update
    update = {
        "adamw": lambda: optax.adamw(rate, **betas, weight_decay=spec.weight_decay),
        "adam": lambda: optax.adam(rate, **betas),
        "lion": lambda: optax.lion(rate, **betas, weight_decay=spec.weight_decay),
        "sgd": lambda: optax.sgd(rate, momentum=spec.beta1),
    }[spec.name]()
    return optax.chain(optax.clip_by_global_norm(spec.clip_norm), update) if spec.clip_norm else update


def _rated(spec: OptimizerSpec, rate: optax.Schedule, rated: Rated) -> optax.GradientTransformation:
    """Return optax's own chain of the optimizer with a link that scales steps; weight decay is left as it is."""
    betas = {"b1": spec.beta1, "b2": spec.beta2}
    direction = optax.scale_by_lion(**betas) if spec.name == "lion" else optax.scale_by_adam(**betas)
    decay = optax.identity() if spec.name == "adam" else optax.add_decayed_weights(spec.weight_decay)
    scaled = optax.stateless(lambda updates, _: rated(updates))
    return optax.chain(direction, scaled, decay, optax.scale_by_learning_rate(rate))


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
