"""Gaussian diffusion over a schedule: noising, what a network's output says about the step before, and the losses.

Arrays are (B, H, W, C), channels last, float32; t is step indices (B,), 0 the least noisy. A network is any function
of noised images and timesteps. Loops over steps are `dit_grid.model.samplers`; optimizers are not here.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dit_grid.model.schedules import Schedule
from dit_grid.model.spaces import Gains, LogitNormal, Space, carried

Network = Callable[[jax.Array, jax.Array], jax.Array]

HALF_PIXEL = 1 / 255
"""Half the width of one of the 256 grey levels of an image scaled to [-1, 1] (Ho et al. 2020, equation 13)."""

EDGE = 0.999
"""Values beyond it belong to the outermost grey levels, which extend to infinity."""

MIN_PROBABILITY = 1e-12
"""Floor of a grey level's probability (reference implementation)."""

PAGE_SCALE, PAGE_CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715
"""The normal distribution function is nearly the logistic of PAGE_SCALE * (z + PAGE_CUBIC * z^3) (Page 1977)."""


class Step(NamedTuple):
    """p(x_{t-1} | x_t) as a Gaussian, and the clean image it goes by, all (B, H, W, C)."""

    mean: jax.Array
    log_variance: jax.Array
    x0: jax.Array


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """A schedule, and how the network's output and the loss are to be read.

    `prediction` is what the first C channels are. With variance "learned-range" the last C channels interpolate the
    log-variance between its bounds (Nichol & Dhariwal 2021, equation 15); "fixed-small" is the posterior's, and
    "fixed-large" is beta. `loss` "mse" adds the bound to the squared error as it is, as the reference implementation
    does by default; "rescaled-mse" adds steps / 1000 of it; "rescaled-kl" is steps times the bound alone. With `space`
    the squared error is counted there instead of in the prediction's own. Steps are drawn uniformly unless `times` says
    otherwise. The velocity is that of Salimans & Ho (2022): sqrt(a) * noise - sqrt(1 - a) * image.
    """

    schedule: Schedule
    prediction: Literal["epsilon", "x0", "velocity"] = "epsilon"
    variance: Literal["learned-range", "fixed-small", "fixed-large"] = "learned-range"
    loss: Literal["mse", "rescaled-mse", "rescaled-kl"] = "mse"
    space: Space | None = None
    times: LogitNormal | None = None

    def __post_init__(self) -> None:
        for name in ("prediction", "variance", "loss"):
            value, allowed = getattr(self, name), _allowed(name)
            if value not in allowed:
                raise ValueError(f"{name} {value!r} is not one of {', '.join(allowed)}")
        if self.space not in (None, *_allowed("prediction")):
            raise ValueError(f"space {self.space!r} is not one of {', '.join(_allowed('prediction'))}")

    def draw_times(self, key: jax.Array, count: int) -> jax.Array:
        """Step indices (count,) to train on."""
        if self.times is not None:
            left = 1 - self.times.draw(key, count)
            return jnp.minimum((left * self.schedule.steps).astype(jnp.int32), self.schedule.steps - 1)
        # 32 random bits modulo the steps: one draw where `randint` makes two, and off uniform by less than 1e-6.
        return (jax.random.bits(key, (count,)) % self.schedule.steps).astype(jnp.int32)

    def even_times(self, places: jax.Array, count: int) -> jax.Array:
        """Of `count` step indices spread evenly over all, those at `places`, the least noisy first."""
        return places * (self.schedule.steps - 1) // (count - 1)

    def bins(self, t_B: jax.Array, count: int) -> jax.Array:
        """Which of `count` equal parts of the steps each t falls in, the least noisy first."""
        return t_B * count // self.schedule.steps

    def respace(self, spacing: int | str) -> "Diffusion":
        """The same over fewer steps; see `Schedule.respace`."""
        return dataclasses.replace(self, schedule=self.schedule.respace(spacing))

    def timesteps(self, t_B: jax.Array) -> jax.Array:
        """What the network is told for step indices t: timesteps of the full schedule."""
        return jnp.asarray(self.schedule.timestep_map, jnp.int32)[t_B]

    def q_sample(self, x0: jax.Array, t_B: jax.Array, noise: jax.Array) -> jax.Array:
        """x_t: the clean image noised to step t (Ho et al. 2020, equation 4)."""
        s = self.schedule
        return _at(s.sqrt_alphas_cumprod, t_B) * x0 + _at(s.sqrt_one_minus_alphas_cumprod, t_B) * noise

    def q_posterior(self, x0: jax.Array, x_t: jax.Array, t_B: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean (B, H, W, C) and log-variance (B, 1, 1, 1) of q(x_{t-1} | x_t, x_0) (Ho et al. 2020, equation 7)."""
        s = self.schedule
        mean = _at(s.posterior_mean_coef1, t_B) * x0 + _at(s.posterior_mean_coef2, t_B) * x_t
        return mean, _at(s.posterior_log_variance_clipped, t_B)

    def p_mean_variance(self, output: jax.Array, x_t: jax.Array, t_B: jax.Array, *, clip: bool = False) -> Step:
        """What the network's output says about x_{t-1}; `clip` limits the clean image to [-1, 1]."""
        C = x_t.shape[-1]
        x0 = self.x0_of(output[..., :C], x_t, t_B)
        if clip:
            x0 = jnp.clip(x0, -1, 1)
        mean, log_variance = self.q_posterior(x0, x_t, t_B)
        if self.variance == "learned-range":
            share = (output[..., C:] + 1) / 2
            log_variance = share * _at(np.log(self.schedule.betas), t_B) + (1 - share) * log_variance
        elif self.variance == "fixed-large":
            s = self.schedule
            first = s.posterior_variance[1:2] if s.steps > 1 else s.betas
            log_variance = _at(np.log(np.concatenate([first, s.betas[1:]])), t_B)
        return Step(mean, jnp.broadcast_to(log_variance, mean.shape), x0)

    def x0_of(self, predicted: jax.Array, x_t: jax.Array, t_B: jax.Array) -> jax.Array:
        """The clean image that a prediction means."""
        if self.prediction == "x0":
            return predicted
        if self.prediction == "epsilon":
            return self.x0_from_epsilon(predicted, x_t, t_B)
        s = self.schedule
        return _at(s.sqrt_alphas_cumprod, t_B) * x_t - _at(s.sqrt_one_minus_alphas_cumprod, t_B) * predicted

    def x0_from_epsilon(self, epsilon: jax.Array, x_t: jax.Array, t_B: jax.Array) -> jax.Array:
        """The clean image of which x_t is noised by epsilon."""
        s = self.schedule
        return _at(s.sqrt_recip_alphas_cumprod, t_B) * x_t - _at(s.sqrt_recipm1_alphas_cumprod, t_B) * epsilon

    def epsilon_from_x0(self, x0: jax.Array, x_t: jax.Array, t_B: jax.Array) -> jax.Array:
        """The noise between a clean image and x_t."""
        s = self.schedule
        return (_at(s.sqrt_recip_alphas_cumprod, t_B) * x_t - x0) / _at(s.sqrt_recipm1_alphas_cumprod, t_B)

    def ddpm_step(
        self, output: jax.Array, x_t: jax.Array, t_B: jax.Array, noise: jax.Array, *, clip: bool = False
    ) -> jax.Array:
        """x_{t-1} drawn from p(x_{t-1} | x_t); at t = 0 its mean (Ho et al. 2020, algorithm 2)."""
        step = self.p_mean_variance(output, x_t, t_B, clip=clip)
        return step.mean + _not_last(t_B) * jnp.exp(step.log_variance / 2) * noise

    def ddim_step(
        self,
        output: jax.Array,
        x_t: jax.Array,
        t_B: jax.Array,
        noise: jax.Array,
        *,
        eta: float = 0.0,
        clip: bool = False,
    ) -> jax.Array:
        """x_{t-1} by DDIM (Song et al. 2021, equation 12); eta 0 is deterministic, eta 1 is ancestral."""
        x0 = self.p_mean_variance(output, x_t, t_B, clip=clip).x0
        epsilon = self.epsilon_from_x0(x0, x_t, t_B)
        now, before = self.schedule.alphas_cumprod, self.schedule.alphas_cumprod_prev
        sigma = eta * np.sqrt((1 - before) / (1 - now)) * np.sqrt(1 - now / before)
        direction = np.sqrt(np.maximum(1 - before - sigma**2, 0))
        mean = _at(np.sqrt(before), t_B) * x0 + _at(direction, t_B) * epsilon
        return mean + _not_last(t_B) * _at(sigma, t_B) * noise

    def ddim_reverse_step(self, output: jax.Array, x_t: jax.Array, t_B: jax.Array) -> jax.Array:
        """x_{t+1} on the deterministic path through x_t, for encoding images into noise (Song et al. 2021, 4.3)."""
        x0 = self.p_mean_variance(output, x_t, t_B).x0
        after = self.schedule.alphas_cumprod_next
        return _at(np.sqrt(after), t_B) * x0 + _at(np.sqrt(1 - after), t_B) * self.epsilon_from_x0(x0, x_t, t_B)

    def training_losses(
        self, model_fn: Network, x0: jax.Array, t_B: jax.Array, noise: jax.Array
    ) -> dict[str, jax.Array]:
        """ "loss", "mse" and, with a learned variance, "vb" (bits a dimension), each (B,).

        `model_fn(x_t, timesteps)` returns the network's output. The bound teaches only the variance: the mean enters
        it without a gradient (Nichol & Dhariwal 2021, section 3.1).
        """
        x_t = self.q_sample(x0, t_B, noise)
        output = model_fn(x_t, self.timesteps(t_B))
        _check_output(output, x_t, learned=self.variance == "learned-range")
        C = x0.shape[-1]
        error = self._target(x0, t_B, noise) - output[..., :C]
        if self.space is not None:
            error = carried(error, self.prediction, self.space, self._gains(t_B))
        mse = _mean(jnp.square(error))
        if self.variance != "learned-range" and self.loss != "rescaled-kl":
            return {"loss": mse, "mse": mse}
        frozen = output if self.loss == "rescaled-kl" else _stop_gradient_of_mean(output, C)
        vb = self.variational_bound(frozen, x0, x_t, t_B)
        steps = self.schedule.steps
        loss = {"mse": mse + vb, "rescaled-mse": mse + vb * (steps / 1000), "rescaled-kl": vb * steps}[self.loss]
        return {"loss": loss, "mse": mse, "vb": vb}

    def _target(self, x0: jax.Array, t_B: jax.Array, noise: jax.Array) -> jax.Array:
        if self.prediction == "velocity":
            s = self.schedule
            return _at(s.sqrt_alphas_cumprod, t_B) * noise - _at(s.sqrt_one_minus_alphas_cumprod, t_B) * x0
        return x0 if self.prediction == "x0" else noise

    def _gains(self, t_B: jax.Array) -> Gains:
        """An error e of the noise is one of sigma / alpha * e of the image, and of e / alpha of the velocity."""
        s = self.schedule
        alpha, sigma = _at(s.sqrt_alphas_cumprod, t_B), _at(s.sqrt_one_minus_alphas_cumprod, t_B)
        return Gains(epsilon=alpha, x0=sigma, velocity=jnp.ones_like(alpha))

    def variational_bound(self, output: jax.Array, x0: jax.Array, x_t: jax.Array, t_B: jax.Array) -> jax.Array:
        """The step's term of the variational bound (B,), bits a dimension (Ho et al. 2020, equation 5).

        For t > 0 the divergence of the network's step from the posterior; at t = 0 the negative log-likelihood of the
        image at 256 grey levels.
        """
        true_mean, true_log_variance = self.q_posterior(x0, x_t, t_B)
        step = self.p_mean_variance(output, x_t, t_B)
        divergence = _mean(gaussian_divergence(true_mean, true_log_variance, step.mean, step.log_variance))
        surprise = -_mean(discretised_log_likelihood(x0, step.mean, step.log_variance / 2))
        return jnp.where(t_B == 0, surprise, divergence) / math.log(2)


def gaussian_divergence(
    mean1: jax.Array, log_variance1: jax.Array, mean2: jax.Array, log_variance2: jax.Array
) -> jax.Array:
    """Divergence of the first Gaussian from the second, nats, elementwise."""
    squares = jnp.exp(log_variance1 - log_variance2) + jnp.square(mean1 - mean2) * jnp.exp(-log_variance2)
    return 0.5 * (log_variance2 - log_variance1 - 1 + squares)


def discretised_log_likelihood(x: jax.Array, mean: jax.Array, log_std: jax.Array) -> jax.Array:
    """Log-probability, nats, of the grey level that x in [-1, 1] falls in under a Gaussian, elementwise.

    The normal distribution function is the tanh approximation of Page (1977) that the reference implementation's
    likelihood is defined by, which is the logistic function of u(z) below. A difference of two logistics has an exact
    product form; subtracting them in float32 loses up to 2 % of the training loss at t = 0.
    """
    inverse_std = jnp.exp(-log_std)
    z, half = (x - mean) * inverse_std, HALF_PIXEL * inverse_std
    below_upper, above_lower = jax.nn.log_sigmoid(_logit(z + half)), jax.nn.log_sigmoid(-_logit(z - half))
    # logit(z + half) - logit(z - half), factored so that nothing cancels.
    width = PAGE_SCALE * 2 * half * (1 + PAGE_CUBIC * (3 * jnp.square(z) + jnp.square(half)))
    inside = below_upper + above_lower + jnp.log(-jnp.expm1(-width))
    log_probability = jnp.where(x < -EDGE, below_upper, jnp.where(x > EDGE, above_lower, inside))
    return jnp.maximum(log_probability, math.log(MIN_PROBABILITY))


def _logit(z: jax.Array) -> jax.Array:
    return PAGE_SCALE * (z + PAGE_CUBIC * z**3)


def _at(table: np.ndarray, t_B: jax.Array) -> jax.Array:
    if not isinstance(t_B, jax.core.Tracer):
        _check_steps(len(table), np.asarray(t_B))
    return jnp.asarray(table, jnp.float32)[t_B][:, None, None, None]


def _not_last(t_B: jax.Array) -> jax.Array:
    return (t_B != 0).astype(jnp.float32)[:, None, None, None]


def _mean(x: jax.Array) -> jax.Array:
    return x.mean(axis=(1, 2, 3))


def _stop_gradient_of_mean(output: jax.Array, channels: int) -> jax.Array:
    return jnp.concatenate([jax.lax.stop_gradient(output[..., :channels]), output[..., channels:]], axis=-1)


def _allowed(name: str) -> tuple[str, ...]:
    return Diffusion.__annotations__[name].__args__


def _check_steps(steps: int, t_B: np.ndarray) -> None:
    """JAX would take the nearest step there is for one out of range, and count negative ones from the end."""
    if t_B.ndim != 1 or not np.issubdtype(t_B.dtype, np.integer) or (t_B < 0).any() or (t_B >= steps).any():
        found = f"from {t_B.min()} to {t_B.max()}" if t_B.size else "none"
        raise ValueError(
            f"step indices of shape {t_B.shape} and dtype {t_B.dtype}, {found}: give whole numbers from 0 to "
            f"{steps - 1}, one an image"
        )


def _check_output(output: jax.Array, x_t: jax.Array, *, learned: bool) -> None:
    channels = x_t.shape[-1] * (2 if learned else 1)
    if output.shape != (*x_t.shape[:-1], channels):
        raise ValueError(
            f"the network returned shape {output.shape} for images of shape {x_t.shape}: with variance "
            f"{'learned-range' if learned else 'fixed'} it must return {channels} channels"
        )
