#!/usr/bin/env bash
# jax 0.10.2: what libtpu compiles for tpu7x cannot be read back (`as_text`) as soon as a collective runs on SparseCores.
#
# A gradient of one product whose weights are split over eight devices is compiled without a TPU, ahead of time. Its
# memory is known, its text is not: jaxlib's XLA refuses the module that libtpu made, for an instruction that libtpu's
# newer XLA gives two operands. Whoever counts FLOPs or communication of a program before anything is reserved (or only
# looks at it) gets an internal error for this generation, and for v3 to v6e an answer. With the offload to SparseCores
# off the same program is read.
# Seen: jax 0.10.2, jaxlib 0.10.2, libtpu 0.0.52, Linux on x86-64, Python 3.11, no TPU, as in the last lines.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 libtpu==0.0.52 numpy==2.4.6
cat >"$folder/product.py" <<'PY'
from importlib import metadata
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

OFFLOAD = "xla_tpu_enable_sparse_core_collective_offload_"
OFF = {OFFLOAD + kind: "false" for kind in ("all_gather", "all_reduce", "reduce_scatter")}

def gradient(w, x):
    return jax.grad(lambda w: (jnp.tanh(x @ w) ** 2).sum())(w)

def read(name, host, options):
    """Return how long the compiled program's text is, or why it has none."""
    asked = {"platform": "tpu", "topology_name": name, "chips_per_host_bounds": host, "chip_config_name": "default"}
    mesh = Mesh(np.array(topologies.get_topology_desc(**asked).devices), ("x",))
    rows = NamedSharding(mesh, P("x", None))
    w, x = (jax.ShapeDtypeStruct((side, 1024), jnp.float32, sharding=rows) for side in (1024, 256))
    made = jax.jit(gradient, out_shardings=rows).lower(w, x).compile(compiler_options=options)
    assert made.memory_analysis().argument_size_in_bytes > 0
    try:
        return f"{len(made.as_text())} letters"
    except jax.errors.JaxRuntimeError as error:
        return "error: " + str(error).splitlines()[0].partition(") ")[2]

print(*(f"{name} {metadata.version(name)}" for name in ("jax", "jaxlib", "libtpu")))
found = {}
for name, host, options in [("v3:2x2", (2, 2, 1), {}), ("v6e:2x4", (2, 4, 1), {}), ("tpu7x:2x2x1", (2, 2, 1), {}),
                            ("tpu7x:2x2x1", (2, 2, 1), OFF)]:
    said = read(name, host, options)
    found[name, bool(options)] = said.startswith("error")
    print(name, "without offload to SparseCores:" if options else "as it is:", said)
assert found == {("v3:2x2", False): False, ("v6e:2x4", False): False, ("tpu7x:2x2x1", False): True,
                 ("tpu7x:2x2x1", True): False}
PY
JAX_PLATFORMS=cpu ALLOW_MULTIPLE_LIBTPU_LOAD=1 TPU_SKIP_MDS_QUERY=1 TPU_ACCELERATOR_TYPE=v3-8 \
    TPU_WORKER_HOSTNAMES=localhost TPU_WORKER_ID=0 TPU_MIN_LOG_LEVEL=3 \
    "$folder/venv/bin/python" "$folder/product.py" 2>"$folder/said" || { tail -5 "$folder/said" >&2; exit 1; }
# v3:2x2 as it is: 11496 letters
# v6e:2x4 as it is: 11722 letters
# tpu7x:2x2x1 as it is: error: proto.operand_ids_size() == *arity async-update instruction should have 1 operands but sees 2
# tpu7x:2x2x1 without offload to SparseCores: 15917 letters
