#!/usr/bin/env bash
# ray 2.60.0 imports jsonschema (for the schemas of runtime environments), and jsonschema imports, where it is installed,
# rfc3987-syntax, which builds its grammars of web addresses with lark whenever it is imported. JupyterLab brings it
# (jsonschema[format-nongpl], by jupyter-events). So once notebooks live in the environment that runs Ray, `import ray`
# takes several times as long, in the driver and again in every worker process, before any code of one's own; nothing that
# Ray checks has the format "iri".
# Seen: jsonschema 0.06 s without and 0.95 with; ray 0.28 and 1.35
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q)
"${pip[@]}" ray==2.60.0 jsonschema==4.26.0 2>/dev/null
cat >"$folder/seconds.py" <<'PY'
import importlib
import subprocess
import sys

for name in ("jsonschema", "ray"):
    code = f"import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"
    runs = [float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
            for _ in range(4)]
    print(name, round(min(runs[1:]), 2))
importlib.import_module("ray")
print("lark", "lark" in sys.modules)
PY
cd "$folder"
venv/bin/python seconds.py | tee without
"${pip[@]}" jupyterlab==4.6.3 jupyter-events==0.12.1 rfc3987-syntax==1.1.0 lark==1.3.1 jsonschema==4.26.0 2>/dev/null
venv/bin/pip list 2>/dev/null | grep -E "^(ray|jsonschema|rfc3987-syntax|lark|jupyterlab|jupyter-events) "
venv/bin/python seconds.py | tee with
python3 - <<'PY'
def read(name):
    return {line.split()[0]: line.split()[1:] for line in open(name)}

without, with_ = read("without"), read("with")
assert without["lark"][0] == "False" and with_["lark"][0] == "True"
for package in ("jsonschema", "ray"):
    assert float(with_[package][0]) > 2 * float(without[package][0]), package
PY
