#!/usr/bin/env bash
# optax 0.2.8: `contrib.prodigy` and `contrib.dadapt_adamw` with a learning rate whose warm-up starts at 0, as optax's own
# warmup_cosine_decay_schedule is mostly called, make every weight NaN at the first or second update: their estimate of the
# distance divides 0 by 0. Their authors' prodigyopt leaves such a step out and trains on, optax's adamw and muon too. In a
# sweep over optimisers these two "diverge" at every size and learning rate.
# Seen: warm-up from 0: prodigy NaN at update 1, dadapt_adamw at 2; from 0.001: 2.99, 3.00 (of 3); prodigyopt from 0: 3.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 prodigyopt==1.1.2 torch==2.13.0 2>/dev/null
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import math

import jax, jax.numpy as jnp, optax, prodigyopt, torch
from optax import contrib

UPDATES, GOAL = 200, 3.0
print("optax", optax.__version__, "jax", jax.__version__)

def trained(rule):
    """Weights' mean at the end of a quadratic, and the first update at which it was NaN."""
    weights = jnp.ones(8)
    state, first = rule.init(weights), None
    update = jax.jit(rule.update)
    for i in range(1, UPDATES + 1):
        change, state = update(weights - GOAL, state, weights)
        weights = optax.apply_updates(weights, change)
        first = i if first is None and bool(jnp.isnan(weights).any()) else first
    return float(weights.mean()), first

def trained_in_torch():
    weights = torch.nn.Parameter(torch.ones(8))
    rule = prodigyopt.Prodigy([weights], lr=1.0)
    warm_up = torch.optim.lr_scheduler.LambdaLR(rule, lambda i: min(1.0, i / 20))
    for _ in range(UPDATES):
        weights.grad = weights.detach() - GOAL
        rule.step()
        warm_up.step()
    return float(weights.detach().mean())

for name, at_two in (("prodigy", 1), ("dadapt_adamw", 2)):
    for start in (0.0, 0.001):
        rate = optax.warmup_cosine_decay_schedule(start, 1.0, 20, 10 * UPDATES)
        mean, first = trained(getattr(contrib, name)(learning_rate=rate))
        print(f"contrib.{name}, warm-up from {start}: {mean:.3f}", f"NaN since update {first}" if first else "")
        assert first == at_two if start == 0 else abs(mean - GOAL) < 0.1
mean, first = trained(optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 0.1, 20, 10 * UPDATES)))
print(f"adamw, warm-up from 0: {mean:.3f}; prodigyopt, warm-up from 0: {trained_in_torch():.3f}")
assert first is None and math.isclose(trained_in_torch(), GOAL, abs_tol=0.1)
PY
