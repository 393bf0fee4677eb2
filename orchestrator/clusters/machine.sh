#!/usr/bin/env bash
# One rented machine with GPUs (Ubuntu or Debian with NVIDIA's driver): this program in an environment of its own.
# Filled in by `dit-grid cluster machine`. Copy this folder to the machine, there:
#
#   bash setup.sh
#   ~/dit-grid/bin/dit-grid doctor                # sees the GPUs
#   ~/dit-grid/bin/dit-grid launch SPEC           # starts Ray by itself; each run takes the GPUs that its spec names
#
# The store of the spec lies on the machine's disk, or at gs://…; copy it away before the machine goes back.
set -euo pipefail
cd "$$(dirname "$$0")"
command -v nvidia-smi > /dev/null || echo "no nvidia-smi here: without NVIDIA's driver JAX sees no GPU" >&2
$installer
~/uv/bin/pip install -q uv==$uv
$interpreter
~/uv/bin/uv pip install -q --python ~/dit-grid ./$wheel 'jax[cuda12]==$jax'
~/dit-grid/bin/dit-grid --version
