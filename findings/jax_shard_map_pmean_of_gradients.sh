#!/usr/bin/env bash
# jax 0.10.2: the data-parallel step of every pmap example, `grads = lax.pmean(jax.grad(loss)(params, shard), "data")`,
# moved into `jax.shard_map` gives gradients as many times too large as there are devices. With check_vma=True, the
# default, `grad` with respect to a replicated argument has already summed over the mesh, and `pmean` of what is then the
# same on every device leaves it. Nothing is raised, and the loss reported by the same `pmean` is right. With
# check_vma=False, and under pmap, the same line is right. SGD's learning rate and a clip at a norm then depend on the
# number of devices; Adam hides it.
# Seen: one device 63, pmap 63, shard_map on 4 devices 252, with check_vma=False 63; 2 devices 126
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 2>/dev/null
JAX_PLATFORMS=cpu XLA_FLAGS=--xla_force_host_platform_device_count=4 "$folder/venv/bin/python" - <<'PY'
import jax, jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec as P

x, w = jnp.arange(8.0), jnp.array(2.0)
print("jax", jax.__version__)

def loss(w, x):
    return jnp.mean((w * x - 1) ** 2)

def step(w, x):
    value, gradient = jax.value_and_grad(loss)(w, x)
    return jax.lax.pmean(value, "data"), jax.lax.pmean(gradient, "data")

def mapped(devices, **check):
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    return jax.jit(jax.shard_map(step, mesh=mesh, in_specs=(P(), P("data")), out_specs=P(), **check))(w, x)

true = float(jax.grad(loss)(w, x))
pmap = jax.pmap(step, axis_name="data", in_axes=(None, 0))(w, x.reshape(4, 2))
print("one device:", float(loss(w, x)), true, "pmap:", float(pmap[0][0]), float(pmap[1][0]))
for devices in (1, 2, 4):
    value, gradient = map(float, mapped(devices))
    unchecked = float(mapped(devices, check_vma=False)[1])
    print(f"shard_map, {devices} devices: loss {value}, gradient {gradient}, with check_vma=False {unchecked}")
    assert value == float(loss(w, x)) and gradient == devices * true and unchecked == true
PY
