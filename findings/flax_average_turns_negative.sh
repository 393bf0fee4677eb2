#!/usr/bin/env bash
# flax 0.12.8: `nnx.metrics.Average` (and MultiMetric of it) counts values in int32. A loss that is handed over value by
# value, as its documentation shows, is counted by pixels or tokens: a batch of 256 latents of 32 x 32 x 4 is 1,048,576
# values, and after 2048 updates without a reset the count wraps and the mean loss is negative, later infinite, later a
# believable positive number that is wrong. Nothing is said. `Welford` gives NaN for the standard error from there, and for
# the mean too at 4096. A sweep notices it only where the log is long enough: larger batches turn earlier.
# Seen: every value is 0.5: 2047 updates 0.5, 2048 -0.5, 3000 -1.37, 4096 inf, 6143 1.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q flax==0.12.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 2>/dev/null
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import math

import flax, jax, jax.numpy as jnp
from flax import nnx

losses = jnp.full((256, 32 * 32 * 4), 0.5)
average = nnx.MultiMetric(loss=nnx.metrics.Average("loss"), spread=nnx.metrics.Welford("loss"))
print("flax", flax.__version__, "jax", jax.__version__)

@nnx.jit
def update(average, losses):
    average.update(loss=losses)

means, errors = {}, {}
for updates in range(1, 6144):
    update(average, losses)
    if updates in (1, 2047, 2048, 3000, 4096, 6143):
        seen = average.compute()
        means[updates] = float(seen["loss"])
        errors[updates] = float(seen["spread"].standard_error_of_mean)
        print(f"{updates} updates: mean {means[updates]:.4f}, Welford {seen['spread'].mean:.4f} +- {errors[updates]:.4f}")
assert means[1] == means[2047] == 0.5 and means[2048] == -0.5 and means[4096] == math.inf
assert means[3000] < -1.3 and 1.49 < means[6143] < 1.51
assert errors[2047] == 0 and math.isnan(errors[2048])
PY
