#!/usr/bin/env bash
# jax 0.10.2: `jnp.asarray` of a NumPy array compiles a program for each shape and type that it meets, where up to 0.9 it
# only copied; `jax.device_put` still only copies. Loading the weights of a network by `jnp.asarray`, as most loaders of
# .npz, safetensors and torch files in Flax code do, then takes 10 to 20 ms for each shape, in every process anew: these
# programs are quicker to make than the cache of compiled programs asks for, so that it keeps none of them.
# Seen: programs compiled for 40 arrays of 40 shapes, float32 in and out: jax 0.9.2 0, jax 0.10.2 40; by device_put 0, 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/count.py" <<'PY'
import logging, sys, time

import jax, jax.numpy as jnp, numpy as np

class Compiled(logging.Handler):
    count = 0

    def emit(self, record):
        self.count += record.getMessage().startswith("Finished XLA compilation")

seen = Compiled()
logging.getLogger("jax").addHandler(seen)
logging.getLogger("jax").propagate = False
jax.config.update("jax_log_compiles", True)
jax.device_put(np.ones(1, np.float32))
found = []
for name, put in (("asarray", jnp.asarray), ("device_put", jax.device_put)):
    before, began = seen.count, time.process_time()
    kept = [put(np.ones((rows, 3), np.float32)) for rows in range(1, 41)]
    found.append(seen.count - before)
    print(f"jax {jax.__version__}, {name}: {found[-1]} programs, {time.process_time() - began:.3f} s of a processor")
assert found == [int(sys.argv[1]), 0]
PY
seen() {
  python3 -m venv "$folder/$1"
  "$folder/$1/bin/pip" install -q "jax==$1" "jaxlib==$1" numpy==2.4.6 2>/dev/null
  JAX_PLATFORMS=cpu "$folder/$1/bin/python" "$folder/count.py" "$2"
}
seen 0.9.2 0
seen 0.10.2 40
