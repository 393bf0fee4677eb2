"""Noise schedules in float64: betas, the tables derived from them, and respacing to fewer steps.

Step indices count from 0, the least noisy. Using the tables on images is `dit_grid.model.diffusion`.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Self

import numpy as np

COSINE_OFFSET = 0.008
"""The offset s of Nichol & Dhariwal (2021), equation 17."""

MAX_BETA = 0.999
"""Cap on the squared-cosine schedule's betas (Nichol & Dhariwal 2021, section 3.2)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """Betas, and for each step the timestep of the full schedule that the network is told, both (steps,)."""

    betas: np.ndarray
    timestep_map: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.betas) or not (self.betas > 0).all() or not (self.betas < 1).all():
            raise ValueError(
                f"betas of {len(self.betas)} steps reach from {self.betas.min(initial=np.inf):g} to "
                f"{self.betas.max(initial=-np.inf):g}: each must be above 0 and below 1 (the linear schedule needs "
                "more than 20 steps)"
            )

    @classmethod
    def linear(cls, steps: int = 1000) -> Self:
        """Betas from 1e-4 to 0.02 for 1000 steps, scaled for others (Ho et al. 2020, section 4)."""
        scale = 1000 / steps
        return cls(np.linspace(scale * 1e-4, scale * 0.02, steps, dtype=np.float64), np.arange(steps))

    @classmethod
    def cosine(cls, steps: int = 1000) -> Self:
        """The squared-cosine schedule of Nichol & Dhariwal (2021), equation 17."""
        times = np.arange(steps + 1) / steps
        signal = np.cos((times + COSINE_OFFSET) / (1 + COSINE_OFFSET) * np.pi / 2) ** 2
        return cls(np.minimum(1 - signal[1:] / signal[:-1], MAX_BETA), np.arange(steps))

    def respace(self, spacing: int | str | Sequence[int]) -> "Schedule":
        """The schedule over the steps that `respaced_steps` keeps, with the same noise level at each of them."""
        kept = respaced_steps(len(self.betas), spacing)
        levels = np.concatenate([[1.0], self.alphas_cumprod[kept]])
        return Schedule(1 - levels[1:] / levels[:-1], self.timestep_map[kept])

    @property
    def steps(self) -> int:
        return len(self.betas)

    @functools.cached_property
    def alphas_cumprod(self) -> np.ndarray:
        """Share of the signal's variance left at each step."""
        return np.cumprod(1 - self.betas)

    @functools.cached_property
    def alphas_cumprod_prev(self) -> np.ndarray:
        return np.concatenate([[1.0], self.alphas_cumprod[:-1]])

    @functools.cached_property
    def alphas_cumprod_next(self) -> np.ndarray:
        return np.concatenate([self.alphas_cumprod[1:], [0.0]])

    @functools.cached_property
    def sqrt_alphas_cumprod(self) -> np.ndarray:
        return np.sqrt(self.alphas_cumprod)

    @functools.cached_property
    def sqrt_one_minus_alphas_cumprod(self) -> np.ndarray:
        return np.sqrt(1 - self.alphas_cumprod)

    @functools.cached_property
    def log_one_minus_alphas_cumprod(self) -> np.ndarray:
        return np.log(1 - self.alphas_cumprod)

    @functools.cached_property
    def sqrt_recip_alphas_cumprod(self) -> np.ndarray:
        return np.sqrt(1 / self.alphas_cumprod)

    @functools.cached_property
    def sqrt_recipm1_alphas_cumprod(self) -> np.ndarray:
        return np.sqrt(1 / self.alphas_cumprod - 1)

    @functools.cached_property
    def posterior_variance(self) -> np.ndarray:
        """Variance of q(x_{t-1} | x_t, x_0) (Ho et al. 2020, equation 7)."""
        return self.betas * (1 - self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)

    @functools.cached_property
    def posterior_log_variance_clipped(self) -> np.ndarray:
        """Its log, with the second step's in place of the first's, which is -inf; one step alone takes its beta's."""
        first = self.posterior_variance[1:2] if self.steps > 1 else self.betas
        return np.log(np.concatenate([first, self.posterior_variance[1:]]))

    @functools.cached_property
    def posterior_mean_coef1(self) -> np.ndarray:
        return self.betas * np.sqrt(self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)

    @functools.cached_property
    def posterior_mean_coef2(self) -> np.ndarray:
        return (1 - self.alphas_cumprod_prev) * np.sqrt(1 - self.betas) / (1 - self.alphas_cumprod)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    @functools.cached_property
    def _content(self) -> tuple[bytes, bytes]:
        return self.betas.tobytes(), self.timestep_map.tobytes()


def respaced_steps(steps: int, spacing: int | str | Sequence[int]) -> np.ndarray:
    """The steps of a schedule of `steps` that a shorter one keeps, rising.

    A count, or several ("10,15,20" or a sequence) for as many equal sections of the schedule: in each, evenly from its
    first to its last step, the stride added up in floating point and rounded half to even, as the reference
    implementation does. "ddimN": every k-th step from 0 for the smallest k that gives N. Raises ValueError.
    """
    if isinstance(spacing, str) and spacing.startswith("ddim"):
        return _even_stride(steps, _count(spacing.removeprefix("ddim"), spacing), spacing)
    if isinstance(spacing, str):
        counts = [_count(text, spacing) for text in spacing.split(",")]
    else:
        counts = [int(spacing)] if isinstance(spacing, int | np.integer) else list(spacing)
    size, extra = divmod(steps, len(counts))
    kept: list[int] = []
    start = 0
    for section, count in enumerate(counts):
        length = size + (section < extra)
        if not 1 <= count <= length:
            raise ValueError(f"spacing {spacing!r} asks for {count} of {length} steps: use between 1 and {length}")
        kept += _spread(start, length, count)
        start += length
    return np.array(kept)


def _spread(start: int, length: int, count: int) -> list[int]:
    stride = (length - 1) / (count - 1) if count > 1 else 1.0
    position, steps = 0.0, []
    for _ in range(count):
        steps.append(start + round(position))
        position += stride
    return steps


def _even_stride(steps: int, count: int, spacing: str) -> np.ndarray:
    for stride in range(1, steps + 1):
        kept = np.arange(0, steps, stride)
        if len(kept) == count:
            return kept
    raise ValueError(f"spacing {spacing!r}: no whole stride through {steps} steps gives {count}; use '{count}'")


def _count(text: str, spacing: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError(f"spacing {spacing!r} is not a count, counts such as '10,15,20', or 'ddim50'")
    return int(text)
