"""A block: attention and MLP side by side on one normalised input (as in ViT-22B, arXiv 2302.05442), gated by zero."""

import jax.numpy as jnp
from flax import nnx

from dit_grid.model.blocks import SelfAttention
from dit_grid.model.feed_forward import FeedForward
from dit_grid.model.linear import ZEROS, Linear
from dit_grid.model.norms import layer_norm, modulate


class ParallelBlock(nnx.Module):
    """x + gate · (attention(h) + MLP(h)) with h = modulate(norm(x)); shift, scale and gate come from the condition."""

    def __init__(self, config, *, dtype, attention, rngs):
        self.attn = SelfAttention(config, dtype=dtype, attention=attention, rngs=rngs)
        self.mlp = FeedForward(config, dtype=dtype, rngs=rngs)
        self.modulation = Linear(config.width, 3 * config.width, dtype=dtype, rngs=rngs, init=ZEROS)

    def __call__(self, x_BTD, condition):
        shift, scale, gate = jnp.split(self.modulation(condition.activated), 3, axis=-1)
        h_BTD = modulate(layer_norm(x_BTD), shift, scale)
        return x_BTD + gate[:, None] * (self.attn(h_BTD) + self.mlp(h_BTD))

    @staticmethod
    def params(config):
        """Trainable parameters of one block."""
        d, r = config.width, config.mlp_ratio
        return (4 * d**2 + 4 * d) + (2 * r * d**2 + (r + 1) * d) + 3 * (d**2 + d)

    @staticmethod
    def forward_macs(config, tokens):
        """Multiply-accumulates of one block and one image of so many tokens."""
        d, r = config.width, config.mlp_ratio
        return tokens * (4 + 2 * r) * d**2 + 2 * tokens**2 * d + 3 * d**2
