#!/usr/bin/env bash
# safetensors.numpy.load_file reads a bfloat16 tensor only in a process that has imported ml_dtypes before; otherwise it
# ends in TypeError. So a program that imports JAX reads half-precision weights, and the same lines in a plain script do
# not; moving an import changes which checkpoints load.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv --quiet venv
uv pip install --quiet --python venv/bin/python safetensors==0.8.0 numpy==2.4.6 ml_dtypes==0.6.0
cat > read.py <<'PYTHON'
import json
import subprocess
import sys

header = json.dumps({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
with open("w.safetensors", "wb") as file:
    file.write(len(header).to_bytes(8, "little") + header + bytes.fromhex("803f2040"))  # 1.0 and 2.5

import numpy
import safetensors

print("safetensors", safetensors.__version__, "numpy", numpy.__version__)
READ = "from safetensors.numpy import load_file; print(load_file('w.safetensors')['w'].tolist())"
outputs = []
for before in ("", "import ml_dtypes; "):
    done = subprocess.run([sys.executable, "-c", before + READ], capture_output=True, text=True)
    outputs.append((done.stdout or done.stderr).strip().splitlines()[-1])
    print(f"{before + 'load_file':>28}: exit {done.returncode}, {outputs[-1]}")
assert "TypeError" in outputs[0], outputs
assert outputs[1] == "[1.0, 2.5]", outputs
print("as found: the same file loads or not by what was imported before")
PYTHON
venv/bin/python read.py
