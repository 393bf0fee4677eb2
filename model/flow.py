"""Flow matching on a path, as SiT trains it: the losses, and what an output says of the flow at one time.

Arrays are (B, H, W, C), channels last, float32; t is times (B,), 0 all noise and 1 the image, which the network is told
as they are. The interface is that of `diffusion`, so that training and evaluation see one. Loops over time are
`dit_grid.model.flow_samplers`. Source: Ma et al. (2024), arXiv 2401.08740.
"""

import dataclasses
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from dit_grid.model.diffusion import Diffusion, Network
from dit_grid.model.paths import Coefficients, DiffusionForm, PathName, coefficients
from dit_grid.model.spaces import LogitNormal, Prediction, Space, carried

Weight = Literal["none", "velocity", "likelihood"]

SAMPLE_MARGIN = 1e-3
"""How far from an end of time samplers stay where the flow is singular there (reference implementation)."""

TRAIN_MARGIN = {"linear": 1e-3, "gvp": 1e-3, "vp": 1e-5}
"""The same for times that are trained on."""


@dataclasses.dataclass(frozen=True)
class Flow:
    """A path, what the network predicts on it, and how its error is counted.

    With `space` the error is counted there instead of in the prediction's own. `weight` multiplies the error of noise
    or score predictions, so that it is the implied velocity's, or bounds the likelihood; a score's own error is that of
    its noise. `times` are drawn uniformly unless given. `steps` is how many times a sampler's grid has, ends included.
    """

    path: PathName = "linear"
    prediction: Prediction = "velocity"
    space: Space | None = None
    weight: Weight = "none"
    times: LogitNormal | None = None
    steps: int = 250

    def __post_init__(self) -> None:
        for name, kind in (("path", PathName), ("prediction", Prediction), ("weight", Weight)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} {getattr(self, name)!r} is not one of {', '.join(get_args(kind))}")
        if self.space not in (None, *get_args(Space)):
            raise ValueError(f"space {self.space!r} is not one of {', '.join(get_args(Space))}")
        if self.weight != "none" and (self.prediction not in ("epsilon", "score") or self.space is not None):
            raise ValueError(
                f"weight {self.weight!r} is for the own error of epsilon or score predictions, not for prediction "
                f"{self.prediction!r} with space {self.space!r}: leave weight at none"
            )
        if self.steps < 2:
            raise ValueError(f"a grid of {self.steps} times: a flow's sampler needs at least its 2 ends")

    def respace(self, steps: int) -> "Flow":
        """The same sampled on a grid of so many times."""
        return dataclasses.replace(self, steps=steps)

    def at(self, t_B: jax.Array) -> Coefficients:
        """The path's coefficients at times t, each (B, 1, 1, 1)."""
        return coefficients(self.path, t_B.astype(jnp.float32)[:, None, None, None])

    def draw_times(self, key: jax.Array, count: int) -> jax.Array:
        """Times (count,) to train on."""
        low, high = self.train_interval
        share = jax.random.uniform(key, (count,)) if self.times is None else self.times.draw(key, count)
        return low + (high - low) * share

    def even_times(self, places: jax.Array, count: int) -> jax.Array:
        """Of `count` times spread evenly over those that are trained on, the ones at `places`."""
        low, high = self.train_interval
        return high - (high - low) * places / (count - 1)

    def bins(self, t_B: jax.Array, count: int) -> jax.Array:
        """Which of `count` equal parts of time each t falls in, the least noisy first."""
        return jnp.clip(((1 - t_B) * count).astype(jnp.int32), 0, count - 1)

    @property
    def train_interval(self) -> tuple[float, float]:
        """First and last time that is trained on."""
        margin = TRAIN_MARGIN[self.path]
        if self.path == "vp":
            return 0.0, 1 - margin
        return (margin, 1 - margin) if self.prediction in ("epsilon", "score") else (0.0, 1.0)

    def ode_interval(self, reverse: bool = False) -> tuple[float, float]:
        """First and last time of a deterministic sampler; `reverse` goes from images to noise."""
        low = SAMPLE_MARGIN if self._singular_at_noise else 0.0
        smooth = self.prediction == "x0" or (self.prediction == "velocity" and self.path != "vp")
        high = 1.0 if smooth else 1 - SAMPLE_MARGIN
        return (1 - low, 1 - high) if reverse else (low, high)

    def sde_interval(self, form: DiffusionForm, last_step_size: float, *, ends_inside: bool) -> tuple[float, float]:
        """First and last time of a stochastic sampler; without a last step it ends as near to 1 as is safe.

        The reference starts "sbdm" on linear and GVP velocities at 0, where that diffusion is infinite, and gets NaN;
        `ends_inside` says that the network is asked at the last time itself, where a velocity has no score.
        """
        low = SAMPLE_MARGIN if self._singular_at_noise or (form == "sbdm" and self.path != "vp") else 0.0
        if last_step_size > 0:
            return low, 1 - last_step_size
        whole = self.prediction == "velocity" and self.path != "vp" and not ends_inside
        return low, 1.0 if whole else 1 - SAMPLE_MARGIN

    @property
    def _singular_at_noise(self) -> bool:
        return self.path != "vp" and self.prediction in ("epsilon", "score")

    def noised(self, image: jax.Array, t_B: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        """x_t on the path, and its velocity there."""
        at = self.at(t_B)
        return at.alpha * image + at.sigma * noise, at.d_alpha * image + at.d_sigma * noise

    def q_sample(self, image: jax.Array, t_B: jax.Array, noise: jax.Array) -> jax.Array:
        """x_t alone."""
        return self.noised(image, t_B, noise)[0]

    def timesteps(self, t_B: jax.Array) -> jax.Array:
        """What the network is told for times t: themselves."""
        return t_B

    def training_losses(
        self, model_fn: Network, image: jax.Array, t_B: jax.Array, noise: jax.Array
    ) -> dict[str, jax.Array]:
        """ "loss" and "mse", the error in the prediction's own space without weight, each (B,).

        Of an output with more channels than the image the first count, the rest gets no gradient, as in SiT, whose
        networks have as many outputs as DiT's.
        """
        x_t, velocity = self.noised(image, t_B, noise)
        output = model_fn(x_t, t_B)
        if output.shape[:-1] != x_t.shape[:-1] or output.shape[-1] not in (x_t.shape[-1], 2 * x_t.shape[-1]):
            raise ValueError(f"the network returned shape {output.shape} for images of shape {x_t.shape}")
        output, at = output[..., : image.shape[-1]], self.at(t_B)
        if self.prediction == "score":
            error = output * at.sigma + noise
        else:
            error = output - {"velocity": velocity, "epsilon": noise, "x0": image}[self.prediction]
        counted = carried(error, self.prediction, self.space, at.gains)
        weight = self._weight(at)[:, 0, 0, 0]
        return {"loss": weight * _mean(jnp.square(counted)), "mse": _mean(jnp.square(error))}

    def _weight(self, at: Coefficients) -> jax.Array:
        if self.weight == "velocity":
            return jnp.square(at.turn / at.alpha)
        if self.weight == "likelihood":
            return at.turn / (at.alpha * at.sigma)
        return jnp.ones_like(at.alpha)

    def velocity(self, output: jax.Array, x: jax.Array, t_B: jax.Array) -> jax.Array:
        """The velocity of the deterministic flow at x that the network's output means."""
        at, output = self.at(t_B), output[..., : x.shape[-1]]
        if self.prediction == "velocity":
            return output
        if self.prediction == "score":
            return x / at.rest + at.drift_variance * output
        if self.prediction == "epsilon":
            return x / at.rest - at.turn / at.alpha * output
        return at.d_alpha * output + at.d_sigma / at.sigma * (x - at.alpha * output)

    def score(self, output: jax.Array, x: jax.Array, t_B: jax.Array) -> jax.Array:
        """The score at x, the gradient of the log density of x_t, that the network's output means."""
        at, output = self.at(t_B), output[..., : x.shape[-1]]
        if self.prediction == "score":
            return output
        if self.prediction == "epsilon":
            return -output / at.sigma
        if self.prediction == "velocity":
            return (at.rest * output - x) / at.gap
        return (at.alpha * output - x) / jnp.square(at.sigma)


Process = Diffusion | Flow
"""What a network is trained on and sampled from."""


def _mean(x: jax.Array) -> jax.Array:
    return x.mean(axis=(1, 2, 3))
