#!/usr/bin/env bash
# optax 0.2.8, flax 0.12.8: `optax.contrib.muon` takes what has two axes for a matrix. flax's attention keeps its heads
# apart, so its kernels have three axes and go to Adam, at Muon's learning rate, while its biases (heads, head width) are
# orthogonalised. Where layers are stacked for `scan`, as large networks are, every kernel goes to Adam, and every bias and
# norm scale, (depth, width), is orthogonalised across the depth: the other way round, without a word. The loss depends on
# how the layers are stored, which for adamw it does not. muon_weight_dimension_numbers mends it.
# Seen: loss after 60 updates, layers apart and stacked: adamw 0.0510 0.0510; muon 0.0283 0.2470; named 0.0283 0.0283
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q flax==0.12.8 optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 2>/dev/null
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import jax, jax.numpy as jnp, optax
from flax import nnx
from optax.contrib import MuonDimensionNumbers, muon

WIDTH, DEPTH, UPDATES = 64, 4, 60
print("optax", optax.__version__)
attention = nnx.to_pure_dict(nnx.state(nnx.MultiHeadAttention(4, WIDTH, rngs=nnx.Rngs(0)), nnx.Param))

def layer(key):
    up, down = jax.random.normal(key, (2, WIDTH, 4 * WIDTH)) / WIDTH**0.5
    return {"up": up, "down": down.T / 2, "scale": jnp.ones(WIDTH), "bias": jnp.zeros(4 * WIDTH)}

def through(x, w):
    normed = w["scale"] * x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)
    return x + jax.nn.gelu(normed @ w["up"] + w["bias"]) @ w["down"], None

def taken(tree):
    kept = muon(0.02).init(tree).inner_states["muon"].inner_state[0].mu
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(kept)]

def loss_after(rule, weights, forward):
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
kind = lambda path, _: MuonDimensionNumbers(-2, -1) if path[-1].key in ("up", "down") else None
named = lambda tree: jax.tree_util.tree_map_with_path(kind, tree)
print("Muon takes of attention", taken(attention), "and of the stack", taken(stacked))
assert taken(attention) == ["['key']['bias']", "['query']['bias']", "['value']['bias']"]
assert taken(stacked) == ["['bias']", "['scale']"]
rules = {"adamw": optax.adamw(1e-3), "muon": muon(0.02), "named": muon(0.02, muon_weight_dimension_numbers=named)}
for name, rule in rules.items():
    one, other = loss_after(rule, apart, one_by_one), loss_after(rule, stacked, scanned)
    print(f"{name}: apart {one:.4f}, stacked {other:.4f}")
    assert other > 4 * one if name == "muon" else abs(other - one) < 1e-3
PY
