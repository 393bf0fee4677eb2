#!/usr/bin/env bash
# jax 0.10.2 on CPUs: the norm of the gradients, logged beside optax.adamw, should be one more pass over them. It is three:
# XLA finds that the second moment takes the same squares and forms them once, so it writes them out, an array as large as
# the parameters that did not exist without the norm, and reads them twice. A gradient behind an optimization barrier
# has squares of its own for the norm, which are summed as they are made. Of 33 million parameters on a core with slow
# memory that took an update of a network from 338 to 312 ms.
# Seen, in passes over the parameters: "no norm: 10 moved, 0 held", "norm: 13 moved, 1 held", "norm behind a barrier: 11
# moved, 0 held"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 optax==0.2.8 2>/dev/null
cat >"$folder/passes.py" <<'PY'
import jax
import jax.numpy as jnp
import optax

adamw = optax.adamw(1e-4)
one = jax.ShapeDtypeStruct((1024, 4096), jnp.float32)


def with_norm(norm):
    def update(params, state, grads):
        updates, state = adamw.update(grads, state, params)
        return optax.apply_updates(params, updates), state, norm(grads)

    return jax.jit(update, donate_argnums=(0, 1))


seen = []
for name, norm in (
    ("no norm", lambda grads: 0.0),
    ("norm", optax.tree.norm),
    ("norm behind a barrier", lambda grads: optax.tree.norm(jax.lax.optimization_barrier(grads))),
):
    compiled = with_norm(norm).lower(one, jax.eval_shape(adamw.init, one), one).compile()
    passes = 4 * one.size
    moved = round(compiled.cost_analysis()["bytes accessed"] / passes)
    seen.append((moved, compiled.memory_analysis().temp_size_in_bytes // passes))
    print(f"{name}: {moved} moved, {seen[-1][1]} held")
assert seen == [(10, 0), (13, 1), (11, 0)], seen
PY
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/passes.py"
