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
python3 -m venv ~/uv || (sudo apt-get update -q && sudo apt-get install -y -q python3-venv && python3 -m venv ~/uv)
~/uv/bin/pip install -q uv==$uv
test -x ~/dit-grid/bin/python || ~/uv/bin/uv venv -q --python $python ~/dit-grid
~/uv/bin/uv pip install -q --python ~/dit-grid ./$wheel 'jax[cuda12]==$jax'
~/dit-grid/bin/dit-grid --version
