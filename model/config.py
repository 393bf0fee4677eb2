"""The shape of a diffusion transformer: its size, block design, input and conditioning, checked once on construction.

What those choices cost is `dit_grid.model.accounting`, what they compute is `dit_grid.model.dit`; neither is here,
and nothing here imports JAX.
"""

import dataclasses
import difflib
from typing import NamedTuple, Self

from dit_grid.model.entry_points import registered

ADALN_ZERO, ADALN, CROSS_ATTENTION, IN_CONTEXT = BLOCKS = ("adaln-zero", "adaln", "cross-attention", "in-context")
"""The four block designs of Peebles & Xie (2022), section 3.2."""

SEQUENCE_BLOCKS = (CROSS_ATTENTION, IN_CONTEXT)
"""The designs in which tokens attend to the condition, so that it may be a sequence of any length."""


class Size(NamedTuple):
    """Depth in blocks, width in channels, and attention heads."""

    depth: int
    width: int
    heads: int


SIZES = {"S": Size(12, 384, 6), "B": Size(12, 768, 12), "L": Size(24, 1024, 16), "XL": Size(28, 1152, 16)}
"""Table 1 of Peebles & Xie (2022)."""


class ConfigError(ValueError):
    """A network that cannot be built; the message names the field, its value, what is allowed and a fix."""


@dataclasses.dataclass(frozen=True)
class DiTConfig:
    """A network's shape. `image_size` and `patch` are in input pixels (latent pixels for ImageNet).

    `classes` excludes the null class, whose label is `classes` itself. With `context_width` set, the condition is a
    sequence of embeddings of that width (a text encoder's output) in place of a class label; the network takes any
    number of them, and `context_length` is how many its costs are counted with. Raises `ConfigError`.
    """

    image_size: int
    patch: int
    width: int
    depth: int
    heads: int
    channels: int = 4
    classes: int = 1000
    block: str = ADALN_ZERO
    mlp_ratio: int = 4
    learn_sigma: bool = True
    context_width: int | None = None
    context_length: int = 1

    def __post_init__(self) -> None:
        for field in ("image_size", "patch", "width", "depth", "heads", "channels", "classes", "mlp_ratio"):
            _require_positive_int(field, getattr(self, field))
        _require_positive_int("context_length", self.context_length)
        if self.context_width is not None:
            _require_positive_int("context_width", self.context_width)
        if self.block not in BLOCKS:
            _require_choice("block", self.block, (*BLOCKS, *registered("blocks")))
        if self.image_size % self.patch:
            raise ConfigError(
                f"image_size {self.image_size} is not a multiple of patch {self.patch}: "
                f"use a patch that divides it, one of {_divisors(self.image_size)}"
            )
        if self.width % self.heads:
            raise ConfigError(
                f"width {self.width} is not a multiple of heads {self.heads}: "
                f"use a number of heads that divides it, one of {_divisors(self.width)}"
            )
        if self.width % 4:
            raise ConfigError(
                f"width {self.width} is not a multiple of 4, which the two-dimensional sine and cosine "
                f"position table needs: use {self.width // 4 * 4 + 4}"
            )
        if self.context_width is not None and self.block not in SEQUENCE_BLOCKS:
            raise ConfigError(
                f"block {self.block!r} conditions on one vector, so context_width {self.context_width} does not apply: "
                f"use block {' or '.join(map(repr, SEQUENCE_BLOCKS))}, or leave context_width unset"
            )
        if self.context_width is None and self.context_length != 1:
            raise ConfigError(
                f"context_length {self.context_length} without context_width: a class label is one vector; set "
                "context_width to the width of the embeddings, or leave context_length unset"
            )

    @classmethod
    def from_name(
        cls, name: str, *, image_size: int, channels: int = 4, classes: int = 1000, block: str = ADALN_ZERO,
        context_width: int | None = None, context_length: int = 1,
    ) -> Self:  # fmt: skip
        """The paper's network of that name, for example "XL/2": a size of `SIZES`, a slash and the patch side."""
        size, slash, patch = name.removeprefix("DiT-").partition("/")
        if not slash or not (patch.isascii() and patch.isdecimal() and len(patch) < 7):
            raise ConfigError(f"model name {name[:60]!r} is not SIZE/PATCH, for example 'XL/2' or 'B/4'")
        _require_choice("model size", size, tuple(SIZES))
        depth, width, heads = SIZES[size]
        return cls(
            image_size, int(patch), width, depth, heads, channels=channels, classes=classes, block=block,
            context_width=context_width, context_length=context_length,
        )  # fmt: skip

    @property
    def tokens(self) -> int:
        """Image tokens of one image."""
        return (self.image_size // self.patch) ** 2

    @property
    def out_channels(self) -> int:
        """Channels of the output: the noise, and as many again for the variance if it is learned."""
        return self.channels * (2 if self.learn_sigma else 1)

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def _require_positive_int(field: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{field} is {value!r}: it must be a whole number of at least 1")


def _require_choice(field: str, value: object, allowed: tuple[str, ...]) -> None:
    if value in allowed:
        return
    near = difflib.get_close_matches(str(value), allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"{field} {str(value)[:60]!r} is not one of {', '.join(allowed)}{hint}")


def _divisors(number: int) -> list[int]:
    """The divisors of a number, up to 10,000: enough for a hint, also of a number with twenty digits."""
    return [n for n in range(1, min(number, 10_000) + 1) if number % n == 0]
