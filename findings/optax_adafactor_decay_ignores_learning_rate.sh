#!/usr/bin/env bash
# optax 0.2.8: `adafactor(learning_rate, weight_decay_rate=0.1)` takes a tenth of every weight at each update, whatever the
# learning rate: also while the warm-up's rate is 0. adamw, lion, adan, nadamw, novograd and torch's Adafactor multiply the
# decay by the rate, and adafactor's docstring says only "rate at which to decay weights". A decay copied from an adamw run
# is a thousand times too strong at a rate of 1e-3, and a sweep of the rate sweeps the balance of the two with it.
# Seen: weights of 1 after 100 updates without a gradient, at learning rate 0: adamw 1, adafactor 0.0000266;
#       at 1e-3: adamw 0.990, lion 0.990, torch's Adafactor 0.990, adafactor 0.0000266
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 torch==2.13.0 2>/dev/null
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import jax.numpy as jnp, optax, torch

DECAY, UPDATES = 0.1, 100
print("optax", optax.__version__, "torch", torch.__version__)

def in_optax(make):
    weight = jnp.ones((4, 4))
    state = make.init(weight)
    for _ in range(UPDATES):
        update, state = make.update(jnp.zeros((4, 4)), state, weight)
        weight = optax.apply_updates(weight, update)
    return float(weight.mean())

def in_torch(rate):
    weight = torch.nn.Parameter(torch.ones(4, 4))
    rule = torch.optim.Adafactor([weight], lr=rate, weight_decay=DECAY)
    for _ in range(UPDATES):
        weight.grad = torch.zeros(4, 4)
        rule.step()
    return float(weight.detach().mean())

for rate in (0.0, 1e-3):
    left = {make.__name__: in_optax(make(rate, weight_decay=DECAY)) for make in (optax.adamw, optax.lion, optax.adan)}
    left |= {"torch Adafactor": in_torch(rate), "adafactor": in_optax(optax.adafactor(rate, weight_decay_rate=DECAY))}
    print(f"learning rate {rate}:", ", ".join(f"{name} {share:.3g}" for name, share in left.items()))
    odd = left.pop("adafactor")
    assert all(abs(share - (1 - rate * DECAY) ** UPDATES) < 1e-3 for share in left.values()), left
    assert abs(odd - (1 - DECAY) ** UPDATES) < 1e-6
PY
