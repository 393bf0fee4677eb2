#!/usr/bin/env bash
# flax 0.12.8: `nnx.Einsum("btd,dhk->bthk", (width, heads, width // heads))`, the projection to queries, starts with weights
# smaller by the root of the number of heads than `nnx.LinearGeneral(width, (heads, ...))`, which computes the same. Its
# default lecun_normal takes all axes but the last two for a receptive field, and Einsum, which has the equation, does not
# tell it which axis is summed. Attention's logits then start at 1 / heads of their size, in linen.Einsum too: a sweep that
# adds heads with the width changes the initialisation with the size, and with it what muP or a law seems to say.
# Seen: standard deviation of q.k / sqrt(head width) at width 512, Einsum and LinearGeneral:
#       1 head 0.99 0.99, 4 heads 0.25 0.99, 8 heads 0.12 1.00, 16 heads 0.063 1.01
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q flax==0.12.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 2>/dev/null
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import flax, jax, jax.numpy as jnp
from flax import linen, nnx

WIDTH, EQUATION = 512, "btd,dhk->bthk"
x = jax.random.normal(jax.random.key(0), (2, 16, WIDTH))
print("flax", flax.__version__, "jax", jax.__version__)

def logits(projection):
    """Standard deviation of attention's logits; `projection(seed)` gives a layer."""
    q, k = projection(1)(x), projection(2)(x)
    return float(jnp.std(jnp.einsum("bthd,bshd->bhts", q, k)) / q.shape[-1] ** 0.5)

def in_linen(shape):
    layer = linen.Einsum(shape, EQUATION)
    return lambda seed: lambda x: layer.apply(layer.init(jax.random.key(seed), x), x)

for heads in (1, 4, 8, 16):
    shape = (WIDTH, heads, WIDTH // heads)
    einsum = logits(lambda seed: nnx.Einsum(EQUATION, shape, rngs=nnx.Rngs(seed)))
    general = logits(lambda seed: nnx.LinearGeneral(WIDTH, shape[1:], rngs=nnx.Rngs(seed)))
    old = logits(in_linen(shape))
    print(f"{heads} heads: nnx.Einsum {einsum:.3f}, linen.Einsum {old:.3f}, nnx.LinearGeneral {general:.3f}")
    assert abs(general - 1) < 0.05 and abs(einsum * heads - 1) < 0.05 and abs(old * heads - 1) < 0.1
PY
