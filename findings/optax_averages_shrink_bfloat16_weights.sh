#!/usr/bin/env bash
# optax 0.2.8: the average of bfloat16 weights that do not change is another, smaller network. That a bfloat16 average may
# stand still is known; here it shrinks. `optax.ema` starts from 0, is stuck long before it has come up to the weights, and
# its debiasing divides by what it ought to have reached. `incremental_update` is step * new + (1 - step) * old, the two
# factors are rounded apart, and do not add up to 1: 0.998 becomes 0.99609. old + step * (new - old), as torch's `lerp_`
# has it, would leave equal weights alone. Samples from the average are poor, while the
# training loss beside them is fine. `optax.ema(..., accumulator_dtype=float32)` mends the first.
# Seen: average / weights after 5000 updates with weights that stay: optax.ema 0.66 with decay 0.99, 0.25 with 0.998, 0.36
#       with 0.999, 0.09 with 0.9999; incremental_update 0.97 with a step of 0.01, 0.72 with 0.002, then 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 2>/dev/null
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import jax, jax.numpy as jnp, optax

UPDATES = 5000
weights = jnp.linspace(0.5, 2, 1024).astype(jnp.bfloat16)
print("optax", optax.__version__, "jax", jax.__version__)

def part(average):
    return float((average.astype(jnp.float32) / weights.astype(jnp.float32)).mean())

def by_ema(decay, dtype=None):
    rule = optax.ema(decay, accumulator_dtype=dtype)
    update, state = jax.jit(rule.update), rule.init(weights)
    for _ in range(UPDATES):
        average, state = update(weights, state)
    return part(average)

def by_steps(step):
    update, average = jax.jit(lambda old: optax.incremental_update(weights, old, step)), weights
    for _ in range(UPDATES):
        average = update(average)
    return part(average)

expected = {0.99: (0.66, 0.97), 0.998: (0.25, 0.72), 0.999: (0.36, 1.0), 0.9999: (0.09, 1.0)}
for decay, (by_moments, by_step) in expected.items():
    shrunk, mended, stepped = by_ema(decay), by_ema(decay, jnp.float32), by_steps(1 - decay)
    print(f"decay {decay}: optax.ema {shrunk:.2f}, accumulated in float32 {mended:.2f}, incremental_update {stepped:.2f}")
    assert abs(shrunk - by_moments) < 0.03 and abs(stepped - by_step) < 0.03 and abs(mended - 1) < 0.01
PY
