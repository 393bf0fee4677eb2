#!/usr/bin/env bash
# optax 0.2.8: `adaptive_grad_clip`, which bounds a gradient by the weights that lead into the same unit, sums arrays of
# three axes over the first one alone, though its docstring says over "Axes (0, 1, 2)" for rank 3. Attention's output kernel
# of flax, (heads, head width, width), is so cut up into groups of as many numbers as there are heads; and where layers are
# stacked for `scan`, (depth, in, out), every number is compared with its like in the other layers, so that
# how layers are stored changes what is clipped and how training ends.
# The argument `axis` is one for all arrays; `axis=-2` mends a stack's kernels and breaks its biases.
# Seen: loss after 100 updates by adaptive_grad_clip(0.01) and sgd(0.3) of one network, layers apart 0.260, stacked 0.345;
#       by sgd(0.3) alone 0.163 and 0.163. unitwise_norm of ones (2, 3, 4): root of 2; the docstring: of 24
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 2>/dev/null
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import jax, jax.numpy as jnp, optax
from optax.transforms import unitwise_norm

WIDTH, DEPTH, UPDATES = 64, 4, 100
print("optax", optax.__version__)

def layer(key):
    up, down = jax.random.split(key)
    draw = lambda k, n, m: jax.random.normal(k, (n, m)) / n**0.5
    return {"up": draw(up, WIDTH, 4 * WIDTH), "bias": jnp.zeros(4 * WIDTH), "down": draw(down, 4 * WIDTH, WIDTH)}

def through(x, w):
    normed = x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)
    return x + jax.nn.gelu(normed @ w["up"] + w["bias"]) @ w["down"], None

def trained(rule, weights, forward):
    x = jax.random.normal(jax.random.key(1), (512, WIDTH))
    goal = jnp.sort(x, axis=0)
    loss = jax.jit(jax.value_and_grad(lambda w: jnp.mean((forward(w, x) - goal) ** 2)))
    state, update = rule.init(weights), jax.jit(rule.update)
    for _ in range(UPDATES):
        value, gradient = loss(weights)
        change, state = update(gradient, state, weights)
        weights = optax.apply_updates(weights, change)
    return float(value)

apart = [layer(key) for key in jax.random.split(jax.random.key(0), DEPTH)]
stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *apart)
one_by_one = lambda layers, x: [x := through(x, w)[0] for w in layers][-1]
scanned = lambda w, x: jax.lax.scan(through, x, w)[0]
for name, rule in (("sgd", optax.sgd(0.3)), ("clipped", optax.chain(optax.adaptive_grad_clip(0.01), optax.sgd(0.3)))):
    one, other = trained(rule, apart, one_by_one), trained(rule, stacked, scanned)
    print(f"{name}: layers apart {one:.4f}, stacked {other:.4f}")
    assert abs(other - one) < 1e-3 if name == "sgd" else other > 1.2 * one
print("squared norms of a unit of ones (2, 3, 4) and (2, 3, 4, 5):", *(
    round(float(unitwise_norm(jnp.ones(shape)).max() ** 2)) for shape in ((2, 3, 4), (2, 3, 4, 5))))
assert abs(float(unitwise_norm(jnp.ones((2, 3, 4))).max()) ** 2 - 2) < 1e-3
assert "Rank-3 or 4: Axes (0, 1, 2)" in unitwise_norm.__doc__
PY
