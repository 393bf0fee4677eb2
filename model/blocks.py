"""The four transformer block designs of Peebles & Xie (2022), figure 3, as modules that map tokens to tokens.

Dimension key: B batch, T tokens, D width, N heads, K head width, L condition tokens. Stacking and scanning blocks,
and making the condition, is `dit_grid.model.dit`; sums and norms run in float32 whatever the compute dtype.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx

from dit_grid.model.accounting import MODULATIONS
from dit_grid.model.attention import Attention, attend, for_cores
from dit_grid.model.config import ADALN, ADALN_ZERO, CROSS_ATTENTION, IN_CONTEXT, DiTConfig
from dit_grid.model.entry_points import loaded
from dit_grid.model.feed_forward import FeedForward
from dit_grid.model.linear import XAVIER, ZEROS, Linear
from dit_grid.model.norms import AffineNorm, modulated_norm
from dit_grid.model.tensor_axis import TensorAxis


class Condition(NamedTuple):
    """What a block is conditioned on; each design reads only the fields that it needs.

    `activated` (B, D) is the SiLU of the summed timestep and label vectors. `tokens` (B, L, D) are condition tokens,
    the timestep first, and `mask` (B, L) is False where they are padding; in the in-context design it covers the image
    tokens too.
    """

    activated: jax.Array | None = None
    tokens: jax.Array | None = None
    mask: jax.Array | None = None


class Block(Protocol):
    """What every design offers."""

    def __call__(self, x_BTD: jax.Array, condition: Condition) -> jax.Array: ...


class SelfAttention(nnx.Module):
    """Multi-head attention of tokens to each other, with queries, keys and values from one matrix product."""

    def __init__(
        self, config: DiTConfig, *, dtype: jax.typing.DTypeLike, attention: Attention, rngs: nnx.Rngs,
        over: TensorAxis | None = None,
    ) -> None:  # fmt: skip
        self.heads, self.attention, self.over = config.heads, attention, over
        self.qkv = Linear(config.width, 3 * config.width, dtype=dtype, rngs=rngs)
        self.proj = Linear(config.width, config.width, dtype=dtype, rngs=rngs)

    def __call__(self, x_BTD: jax.Array, mask_BT: jax.Array | None = None) -> jax.Array:
        B, T, D = x_BTD.shape
        if T == 1 and mask_BT is None and self.over is None:  # its weight is 1 whatever its query and key are
            return self.proj(self.qkv.last(x_BTD, D))
        qkv = self.qkv.by_heads(x_BTD, 3, self.heads, self.over)
        values_BTNK = attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], mask_BT, self.attention)
        return self.proj(values_BTNK.reshape(B, T, D))


class CrossAttention(nnx.Module):
    """Multi-head attention of image tokens to condition tokens."""

    def __init__(
        self, config: DiTConfig, *, dtype: jax.typing.DTypeLike, attention: Attention, rngs: nnx.Rngs,
        over: TensorAxis | None = None,
    ) -> None:  # fmt: skip
        self.heads, self.attention, self.over = config.heads, attention, over
        self.q = Linear(config.width, config.width, dtype=dtype, rngs=rngs)
        self.kv = Linear(config.width, 2 * config.width, dtype=dtype, rngs=rngs)
        self.proj = Linear(config.width, config.width, dtype=dtype, rngs=rngs)

    def __call__(self, x_BTD: jax.Array, context_BLD: jax.Array, mask_BL: jax.Array | None) -> jax.Array:
        B, T, D = x_BTD.shape
        q_BTNK = self.q(x_BTD).reshape(B, T, self.heads, -1)
        kv = self.kv.by_heads(context_BLD, 2, self.heads, self.over)
        values_BTNK = attend(q_BTNK, kv[:, :, 0], kv[:, :, 1], mask_BL, self.attention)
        return self.proj(values_BTNK.reshape(B, T, D))


class AdaptiveBlock(nnx.Module):
    """adaLN and adaLN-Zero: shifts and scales, and in adaLN-Zero gates, are regressed from the condition.

    adaLN-Zero starts with the regression at zero, so that its gates are closed and the block is the identity.
    """

    def __init__(
        self, config: DiTConfig, *, dtype: jax.typing.DTypeLike, attention: Attention, rngs: nnx.Rngs,
        over: TensorAxis | None = None,
    ) -> None:  # fmt: skip
        self.vectors, self.on_cores = MODULATIONS[config.block], for_cores(attention, dtype)
        self.attn = SelfAttention(config, dtype=dtype, attention=attention, rngs=rngs, over=over)
        self.mlp = FeedForward(config, dtype=dtype, rngs=rngs, on_cores=self.on_cores)
        init = ZEROS if config.block == ADALN_ZERO else XAVIER
        self.modulation = Linear(config.width, self.vectors * config.width, dtype=dtype, rngs=rngs, init=init)

    def __call__(self, x_BTD: jax.Array, condition: Condition) -> jax.Array:
        assert condition.activated is not None
        vectors = jnp.split(self.modulation(condition.activated), self.vectors, axis=-1)
        if self.vectors == MODULATIONS[ADALN]:
            shift1, scale1, shift2, scale2 = vectors
            x_BTD = x_BTD + self.attn(self._norm(x_BTD, shift1, scale1))
            return x_BTD + self.mlp(self._norm(x_BTD, shift2, scale2))
        shift1, scale1, gate1, shift2, scale2, gate2 = vectors
        x_BTD = x_BTD + gate1[:, None] * self.attn(self._norm(x_BTD, shift1, scale1))
        return x_BTD + gate2[:, None] * self.mlp(self._norm(x_BTD, shift2, scale2))

    def _norm(self, x_BTD: jax.Array, shift_BD: jax.Array, scale_BD: jax.Array) -> jax.Array:
        return modulated_norm(x_BTD, shift_BD, scale_BD, self.on_cores)


class InContextBlock(nnx.Module):
    """A plain pre-norm transformer block: the condition is already among the tokens."""

    def __init__(
        self, config: DiTConfig, *, dtype: jax.typing.DTypeLike, attention: Attention, rngs: nnx.Rngs,
        over: TensorAxis | None = None,
    ) -> None:  # fmt: skip
        self.norm1, self.norm2 = AffineNorm(config.width), AffineNorm(config.width)
        self.attn = SelfAttention(config, dtype=dtype, attention=attention, rngs=rngs, over=over)
        self.mlp = FeedForward(config, dtype=dtype, rngs=rngs, on_cores=for_cores(attention, dtype))

    def __call__(self, x_BTD: jax.Array, condition: Condition) -> jax.Array:
        x_BTD = x_BTD + self.attn(self.norm1(x_BTD), condition.mask)
        return x_BTD + self.mlp(self.norm2(x_BTD))


class CrossAttentionBlock(nnx.Module):
    """A pre-norm block with attention to the condition tokens between self-attention and the feed-forward network."""

    def __init__(
        self, config: DiTConfig, *, dtype: jax.typing.DTypeLike, attention: Attention, rngs: nnx.Rngs,
        over: TensorAxis | None = None,
    ) -> None:  # fmt: skip
        self.norm1, self.norm2, self.norm3 = (AffineNorm(config.width) for _ in range(3))
        self.attn = SelfAttention(config, dtype=dtype, attention=attention, rngs=rngs, over=over)
        self.cross = CrossAttention(config, dtype=dtype, attention=attention, rngs=rngs, over=over)
        self.mlp = FeedForward(config, dtype=dtype, rngs=rngs, on_cores=for_cores(attention, dtype))

    def __call__(self, x_BTD: jax.Array, condition: Condition) -> jax.Array:
        assert condition.tokens is not None
        x_BTD = x_BTD + self.attn(self.norm1(x_BTD))
        x_BTD = x_BTD + self.cross(self.norm2(x_BTD), condition.tokens, condition.mask)
        return x_BTD + self.mlp(self.norm3(x_BTD))


BLOCK_CLASSES = {
    ADALN_ZERO: AdaptiveBlock,
    ADALN: AdaptiveBlock,
    CROSS_ATTENTION: CrossAttentionBlock,
    IN_CONTEXT: InContextBlock,
}


def block_class(name: str) -> Callable[..., nnx.Module]:
    """What makes a block of that design: one of the paper's, or of the entry points `dit_grid.blocks`.

    A registered one is a module class made as these are and called with tokens (B, T, D) and a `Condition`, of which
    it has `activated`; adaLN's last layer follows. Its static `params(config)` and `forward_macs(config, tokens)` count
    one block of one image. Raises EntryPointError for one that cannot be imported.
    """
    return BLOCK_CLASSES[name] if name in BLOCK_CLASSES else loaded("blocks", name)
