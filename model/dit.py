"""The diffusion transformer: noised images, timesteps and conditions in, predicted noise and variance out.

Dimension key: B batch, H and W image sides, C channels, T tokens, D width, L condition tokens, E context width.
Deterministic: dropping labels for guidance is `drop_labels`, outside the network; the losses are in `diffusion`.
"""

import math
from typing import Any, Literal, NamedTuple, Self, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dit_grid.model.attention import Attention, for_cores
from dit_grid.model.blocks import Condition, block_class
from dit_grid.model.config import ADALN_ZERO, IN_CONTEXT, SEQUENCE_BLOCKS, DiTConfig
from dit_grid.model.embeddings import LabelEmbedding, TimestepEmbedding, patchify, position_table, unpatchify
from dit_grid.model.linear import ZEROS, Linear
from dit_grid.model.norms import AffineNorm, modulated_norm
from dit_grid.model.tensor_axis import TensorAxis

Remat = Literal["none", "dots", "block"]

UNROLLED_DEPTH = 8
"""Up to this depth blocks are unrolled by default. On one CPU core, in batches of 128, that takes a training step of
the digits networks from 5.5 to 4.1 ms (width 32, depth 2, 4 tokens) and from 206 to 141 ms (80, 5, 16 tokens), for
about 2 s more compilation at depth 5; every network of the paper is deeper and scanned."""


class Context(NamedTuple):
    """A condition given as a sequence: embeddings (B, L, E) and a mask (B, L), False where they are padding.

    A row whose mask is all False is unconditional, the counterpart of the null class.
    """

    embeddings: Any
    mask: Any


NULL_CONTEXT = Context(0.0, False)
"""No condition at all, as `null_label` of the samplers; it takes the shape of the contexts beside it."""


class DiT(nnx.Module):
    """A diffusion transformer; `model(x, t, y)` is pure and its only trainable variables are `nnx.Param`.

    The blocks' parameters are stacked along a leading depth axis and the blocks run as one `lax.scan`, so tracing and
    compiling take the same time at any depth. Parameters, norms and softmax are float32; `dtype` is that of matrix
    products and of the tokens between blocks. `remat` says what the backward pass recomputes: "none", everything but
    matrix products with parameters ("dots"), or whole blocks ("block"). `unroll` is how many blocks one iteration of
    the scan holds, by default all of a network of up to UNROLLED_DEPTH and one of a deeper network. `rows` is how a
    batch lies over devices: tokens between blocks are kept so, for with parameters split over devices XLA may gather
    whole batches instead (on TPUs 15.75 GiB an update of XL/2 in place of 2.5). A batch that does not divide is free.
    With `over` each device computes its share of heads and hidden units; it has to divide both.
    """

    def __init__(
        self,
        config: DiTConfig,
        rngs: nnx.Rngs,
        *,
        dtype: jax.typing.DTypeLike = jnp.float32,
        remat: Remat = "none",
        unroll: int | None = None,
        attention: Attention = "auto",
        rows: jax.sharding.NamedSharding | None = None,
        over: TensorAxis | None = None,
    ) -> None:
        for name, value, allowed in (("remat", remat, get_args(Remat)), ("attention", attention, get_args(Attention))):
            if value not in allowed:
                raise ValueError(f"{name} {value!r} is not one of {', '.join(allowed)}")
        if not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(f"dtype {jnp.dtype(dtype).name} is not floating point: use float32 or bfloat16")
        self.config, self.dtype, self.remat, self.rows, self.over = config, jnp.dtype(dtype), remat, rows, over
        self.on_cores = for_cores(attention, dtype)
        shared = {} if over is None else {"over": over}  # a registered block need not know of it
        self.unroll = unroll or (config.depth if config.depth <= UNROLLED_DEPTH else 1)
        width, patch_values = config.width, config.patch**2
        self.patches = Linear(patch_values * config.channels, width, dtype=dtype, rngs=rngs)
        self.timesteps = TimestepEmbedding(width, dtype=dtype, rngs=rngs)
        if config.context_width is None:
            self.labels = LabelEmbedding(config.classes, width, dtype=dtype, rngs=rngs)
        else:
            self.context = Linear(config.context_width, width, dtype=dtype, rngs=rngs)

        @nnx.split_rngs(splits=config.depth)
        @nnx.vmap(in_axes=0, out_axes=0)
        def stack(rngs: nnx.Rngs) -> nnx.Module:
            return block_class(config.block)(config, dtype=dtype, attention=attention, rngs=rngs, **shared)

        self.blocks = stack(rngs)
        if config.block in SEQUENCE_BLOCKS:
            self.norm = AffineNorm(width)
        else:
            self.modulation = Linear(width, 2 * width, dtype=dtype, rngs=rngs, init=ZEROS)
        self.out = Linear(width, patch_values * config.out_channels, dtype=dtype, rngs=rngs, init=ZEROS)

    @classmethod
    def from_name(
        cls, name: str, rngs: nnx.Rngs, *, image_size: int, channels: int = 4, classes: int = 1000,
        block: str = ADALN_ZERO, context_width: int | None = None, dtype: jax.typing.DTypeLike = jnp.float32,
        remat: Remat = "none",
    ) -> Self:  # fmt: skip
        """The paper's network of that name, for example "XL/2"; see `DiTConfig.from_name`."""
        config = DiTConfig.from_name(
            name, image_size=image_size, channels=channels, classes=classes, block=block, context_width=context_width
        )
        return cls(config, rngs, dtype=dtype, remat=remat)

    def __call__(self, x_BHWC: jax.Array, t_B: jax.Array, y: jax.Array | Context) -> jax.Array:
        """Predicted noise and, if it is learned, the variance's interpolation (B, H, W, out_channels), float32.

        t_B are timesteps of the full schedule, whole or fractional. y is labels (B,) from 0 to `classes` (the null
        class), or a `Context` for a network with `context_width`. Raises ValueError for shapes, dtypes or labels that
        do not fit; a label out of range that tracing hides gives NaN.
        """
        x_BTD, condition = self._enter(x_BHWC, t_B, y)
        return self._leave(self._run_blocks(x_BTD, condition), condition)

    def activations(self, x_BHWC: jax.Array, t_B: jax.Array, y: jax.Array | Context) -> dict[str, jax.Array]:
        """What `model(x, t, y)` passes through: tokens (B, T, D) before the blocks and after each, and the output."""
        x_BTD, condition = self._enter(x_BHWC, t_B, y)
        last_BTD, after = self._scan_blocks(x_BTD, condition, keep=True)
        blocks = {f"block {number + 1}": after[number] for number in range(self.config.depth)}
        return {"patches": x_BTD, **blocks, "output": self._leave(last_BTD, condition)}

    def _enter(self, x_BHWC: jax.Array, t_B: jax.Array, y: jax.Array | Context) -> tuple[jax.Array, Condition]:
        _check_inputs(self.config, x_BHWC, t_B, y)
        x_BTD = self.patches(patchify(x_BHWC, self.config.patch))
        x_BTD = x_BTD + position_table(self.config.width, x_BHWC.shape[1] // self.config.patch).astype(self.dtype)
        return self._condition(x_BTD, t_B, y)

    def _leave(self, x_BTD: jax.Array, condition: Condition) -> jax.Array:
        x_BTD = x_BTD[:, : self.config.tokens]
        if condition.activated is None:
            x_BTD = self.norm(x_BTD)
        else:
            shift_BD, scale_BD = jnp.split(self.modulation(condition.activated), 2, axis=-1)
            x_BTD = modulated_norm(x_BTD, shift_BD, scale_BD, self.on_cores)
        return unpatchify(self.out(x_BTD), self.config.patch).astype(jnp.float32)

    def _condition(self, x_BTD: jax.Array, t_B: jax.Array, y: jax.Array | Context) -> tuple[jax.Array, Condition]:
        time_BD = self.timesteps(t_B)
        mask_BL = None
        if isinstance(y, Context):
            given_BLD = self.context(y.embeddings)
            mask_BL = jnp.pad(y.mask, ((0, 0), (1, 0)), constant_values=True)
        elif self.config.block in SEQUENCE_BLOCKS:
            given_BLD = self.labels(y)[:, None]
        else:
            return x_BTD, Condition(activated=nnx.silu(time_BD + self.labels(y)))
        tokens_BLD = jnp.concatenate([time_BD[:, None], given_BLD], axis=1)
        if self.config.block != IN_CONTEXT:
            return x_BTD, Condition(tokens=tokens_BLD, mask=mask_BL)
        if mask_BL is not None:
            mask_BL = jnp.pad(mask_BL, ((0, 0), (self.config.tokens, 0)), constant_values=True)
        return jnp.concatenate([x_BTD, tokens_BLD], axis=1), Condition(mask=mask_BL)

    def _run_blocks(self, x_BTD: jax.Array, condition: Condition) -> jax.Array:
        return self._scan_blocks(x_BTD, condition, keep=False)[0]

    def _scan_blocks(self, x_BTD: jax.Array, condition: Condition, keep: bool) -> tuple[jax.Array, Any]:
        """Tokens after all blocks, and with `keep` after each (depth, B, T, D)."""
        graph, stacked = nnx.split(self.blocks)

        def body(x_BTD: jax.Array, layer: nnx.State) -> tuple[jax.Array, Any]:
            x_BTD = nnx.merge(graph, layer)(self._in_rows(x_BTD), condition)
            return x_BTD, x_BTD if keep else None

        if self.remat == "block":
            body = jax.checkpoint(body, prevent_cse=False)
        elif self.remat == "dots":
            policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
            body = jax.checkpoint(body, prevent_cse=False, policy=policy)
        return jax.lax.scan(body, x_BTD, stacked, unroll=self.unroll)

    def _in_rows(self, x_BTD: jax.Array) -> jax.Array:
        if self.rows is None or x_BTD.shape[0] % _parts(self.rows):
            return x_BTD
        return jax.lax.with_sharding_constraint(x_BTD, self.rows)


def _parts(rows: jax.sharding.NamedSharding) -> int:
    """Into how many parts a batch is divided: other axes of the mesh may hold copies of them."""
    axes = rows.spec[0] if isinstance(rows.spec[0], tuple) else (rows.spec[0],)
    return math.prod(rows.mesh.shape[axis] for axis in axes)


def drop_labels(key: jax.Array, labels_B: jax.Array, classes: int, rate: float = 0.1) -> jax.Array:
    """Labels with each replaced by the null class, `classes`, with probability `rate`.

    The rate 0.1 is the reference implementation's default; the paper says only that labels are dropped at random.
    """
    return jnp.where(jax.random.bernoulli(key, rate, labels_B.shape), classes, labels_B)


def drop_contexts(key: jax.Array, context: Context, rate: float = 0.1) -> Context:
    """The contexts with each made unconditional, all of it masked, with probability `rate`; see `drop_labels`."""
    kept_B = ~jax.random.bernoulli(key, rate, context.mask.shape[:1])
    return Context(context.embeddings, context.mask & kept_B[:, None])


def _check_inputs(config: DiTConfig, x: jax.Array, t: jax.Array, y: jax.Array | Context) -> None:
    side = config.image_size
    if x.ndim != 4 or x.shape[1:] != (side, side, config.channels) or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"images have shape {x.shape} and dtype {x.dtype}: this network takes floating-point images of shape "
            f"(batch, {side}, {side}, {config.channels}), channels last"
        )
    if t.shape != x.shape[:1]:
        raise ValueError(f"timesteps have shape {t.shape}: give one for each of the {x.shape[0]} images")
    if isinstance(y, Context):
        _check_context(config, x.shape[0], y)
    else:
        _check_labels(config, x.shape[0], y)


def _check_context(config: DiTConfig, batch: int, y: Context) -> None:
    shape = y.embeddings.shape
    if config.context_width is None:
        raise ValueError("this network takes class labels: build it with context_width to give it a Context")
    if len(shape) != 3 or shape[0] != batch or shape[2] != config.context_width:
        raise ValueError(f"context has shape {shape}: this network takes ({batch}, length, {config.context_width})")
    if y.mask.shape != shape[:2] or y.mask.dtype != jnp.bool_:
        raise ValueError(f"context mask has shape {y.mask.shape} and dtype {y.mask.dtype}: it must be bool {shape[:2]}")


def _check_labels(config: DiTConfig, batch: int, y: jax.Array) -> None:
    if config.context_width is not None:
        raise ValueError(f"this network takes a Context of width {config.context_width}, not labels")
    if y.shape != (batch,) or not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(f"labels have shape {y.shape} and dtype {y.dtype}: give {batch} integers")
    if not isinstance(y, jax.core.Tracer) and batch:
        values = np.asarray(y)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > config.classes:
            raise ValueError(
                f"labels go from {low} to {high}: this network has classes 0 to {config.classes - 1} "
                f"and the null class {config.classes}"
            )
