#!/usr/bin/env bash
# clu 0.0.12 with jax 0.10.2: `clu.metrics.Std` imports, collects and merges, and ends in a TypeError where it is read:
# it calls `jnp.clip(variance, a_min=0.0)`, a name that jax has dropped. clu pins no jax, so pip installs the pair, and a
# training loop finds out at its first log, after the first window of updates. `clu.metrics.Average` beside it works.
# Seen: Average of 1, 2, 3: 2.0
#       Std of 1, 2, 3: TypeError: clip() got an unexpected keyword argument 'a_min'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q clu==0.0.12 jax==0.10.2 flax==0.12.8 2>/dev/null
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import jax.numpy as jnp
from clu import metrics

values = jnp.asarray([1.0, 2.0, 3.0])
print("Average of 1, 2, 3:", metrics.Average.from_model_output(values).compute())
spread = metrics.Std.empty().merge(metrics.Std.from_model_output(values))
try:
    print("Std of 1, 2, 3:", spread.compute())
except TypeError as error:
    print(f"Std of 1, 2, 3: TypeError: {error}")
    assert "a_min" in str(error)
else:
    raise SystemExit("it works now")
PY
