#!/usr/bin/env bash
# jax 0.10.2: numbers drawn in bfloat16 are made from 128 uniform numbers, the lower edges of their cells, so they are not
# float32 draws rounded. `normal` (a diffusion's noise, an initialiser's weights) has a mean of -0.012, a left tail longer
# than the right and nothing beyond 2.9; torch's `randn` rounds and is centred. `categorical` on bfloat16 logits (a
# language model's) compares Gumbel numbers of 128 values, and ties go to the first index: of 1024 equal logits the first
# eighth comes up 500 times as often as the last, and a token of probability 0.001 practically never. `bernoulli` of a
# bfloat16 p of 0.001 is true 8 times as often. mode="high" mends `categorical` alone; else draw in float32 and cast.
# Seen: normal: 128 values, mean -0.0117, from -2.89 to 2.52; torch.randn: 3335 values, mean -0.003, from -4.6 to 4.7
#       shares of the first and last eighth of equal logits, 1 is fair: of 64: 1.23 0.79, of 1024: 5.09 0.01
#       probability 0.001 drawn: 0.00001 of the time; bernoulli(0.001): 0.0076
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 torch==2.13.0 2>/dev/null
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import jax, jax.numpy as jnp, numpy as np, torch

DRAWS, key = 500_000, jax.random.key(0)
print("jax", jax.__version__, "torch", torch.__version__)

def moments(name, x):
    x = np.asarray(x, np.float64)
    print(f"{name}: {len(np.unique(x))} values, mean {x.mean():.4f}, from {x.min():.2f} to {x.max():.2f}")
    return x

rounded = moments("float32, then bfloat16", jax.random.normal(key, (DRAWS,)).astype(jnp.bfloat16))
asked = moments("normal in bfloat16", jax.random.normal(key, (DRAWS,), jnp.bfloat16))
other = moments("torch.randn in bfloat16", torch.randn(DRAWS, dtype=torch.bfloat16, generator=torch.manual_seed(0)).float())
sigma = 1 / DRAWS**0.5
assert abs(rounded.mean()) < 4 * sigma and abs(other.mean()) < 4 * sigma
assert len(np.unique(asked)) == 128 and asked.mean() < -6 * sigma and asked.max() < 2.6 and asked.min() < -2.8

def shares(logits, **mode):
    drawn = jax.random.categorical(key, logits, shape=(DRAWS // 5,), **mode)
    return np.bincount(np.asarray(drawn), minlength=len(logits)) / (DRAWS // 5)

for n in (64, 1024):
    for dtype in (jnp.float32, jnp.bfloat16):
        fair = shares(jnp.zeros(n, dtype)) * n
        print(f"{n} equal logits in {dtype.__name__}: first eighth {fair[: n // 8].mean():.2f}, "
              f"last eighth {fair[-n // 8 :].mean():.2f} of a fair share")
    assert fair[: n // 8].mean() > 1.15 and fair[-n // 8 :].mean() < 0.85
high = shares(jnp.zeros(1024, jnp.bfloat16), mode="high") * 1024
print(f'1024 of them with mode="high": first eighth {high[:128].mean():.2f}, last eighth {high[-128:].mean():.2f}')
assert abs(high[:128].mean() - 1) < 0.05
rare = jnp.log(jnp.array([0.5, 0.3, 0.19, 0.009, 0.001]))
print("probability 0.001: float32", shares(rare)[4], "bfloat16", shares(rare.astype(jnp.bfloat16))[4])
assert shares(rare)[4] > 5e-4 and shares(rare.astype(jnp.bfloat16))[4] < 1e-4
true = float(jax.random.bernoulli(key, jnp.bfloat16(0.001), (DRAWS,)).mean())
print(f"bernoulli(bfloat16 0.001): {true:.4f}")
assert true > 0.005
PY
