#!/usr/bin/env bash
# XLA, jax 0.7.2 and 0.10.2: a product over a mesh with three axes of two or more has half of its values wrong.
#
# The layout is the usual one for a large network: rows over data and fsdp, weights over fsdp and tensor, the second
# product of a pair by rows. A slice of the columns of one product multiplies the pair. On 2 x 2 x 2 devices half of the
# values are wrong by as much as the largest; on 4 x 1 x 2, 1 x 4 x 2 and 2 x 1 x 4 all are right, in Shardy and GSPMD
# alike, without an error. Tests on meshes of two axes, or of three with one of size 1, do not see it.
# Seen: jax 0.10.2, jaxlib 0.10.2, eight devices of the CPU backend, Python 3.11, as in the last lines.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6

cat >"$folder/product.py" <<'PY'
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

WIDTH, ROWS, TOKENS = 32, 16, 4


def product(w, up, down, x, c):
    """Rows c (ROWS, WIDTH) give one vector each, which multiplies what two products make of x (ROWS, TOKENS, WIDTH)."""
    return (c @ w)[:, None, :WIDTH] * (x @ up @ down)


normal = np.random.default_rng(0).standard_normal
given = [normal(shape).astype(np.float32) for shape in (
    (WIDTH, 2 * WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH), (ROWS, TOKENS, WIDTH), (ROWS, WIDTH))]
right = np.asarray(product(*given))
print("jax", jax.__version__)
found = {}
for shape in [(2, 2, 2), (4, 1, 2), (1, 4, 2), (2, 1, 4)]:
    mesh = Mesh(np.array(jax.devices()).reshape(shape), ("data", "fsdp", "tensor"))
    weights, rows = P("fsdp", "tensor"), P(("data", "fsdp"))
    layout = [NamedSharding(mesh, spec) for spec in (weights, weights, P("tensor", "fsdp"), rows, rows)]
    off = np.abs(np.asarray(jax.jit(product, in_shardings=layout)(*given)) - right)
    found[shape] = (off > 1e-3 * np.abs(right).max()).mean()
    print(shape, f"values off by more than a thousandth of the largest: {found[shape]:.2f};",
          f"largest error over largest value: {off.max() / np.abs(right).max():.1e}")
assert found[2, 2, 2] > 0.3 and not any(share for shape, share in found.items() if shape != (2, 2, 2))
PY
XLA_FLAGS=--xla_force_host_platform_device_count=8 JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/product.py" 2>/dev/null
# (2, 2, 2) values off by more than a thousandth of the largest: 0.49; largest error over largest value: 1.2e+00
# (4, 1, 2) values off by more than a thousandth of the largest: 0.00; largest error over largest value: 1.9e-07
# (1, 4, 2) values off by more than a thousandth of the largest: 0.00; largest error over largest value: 1.9e-07
# (2, 1, 4) values off by more than a thousandth of the largest: 0.00; largest error over largest value: 1.5e-07
