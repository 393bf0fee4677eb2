#!/usr/bin/env bash
# chinchilla 0.2.0 ("A toolkit for scaling law research"): `param_grid` is a dictionary with five names, validated by name,
# and `fit` reads its values by position: E, A, B, alpha, beta. Written in the law's own order, E + A N^-alpha + B D^-beta,
# the same starts are taken for other parameters: alpha's fit begins at log B's start. With one start each, as one refits
# from the last answer or inside a bootstrap, exact data of Hoffmann's law give alpha = 6, and the best use of 1e22 FLOPs
# is 14 parameters on 1e20 tokens; nothing is raised or logged. Three starts for each name (243 fits) hide it.
# Seen: e, a, b, alpha, beta: alpha 0.340, beta 0.280, 5.2e9 parameters; e, a, alpha, b, beta: alpha 6.000, 14 parameters
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q chinchilla==0.2.0 scipy==1.17.1 numpy==2.4.6 pandas==3.1.1 2>/dev/null
cd "$folder"
MPLBACKEND=agg "$folder/venv/bin/python" - 2>/dev/null <<'PY'
from importlib.metadata import version

from chinchilla import Chinchilla
from chinchilla._metrics import mse

START = {"e": [0.5], "a": [6.0], "b": [6.0], "alpha": [0.3], "beta": [0.3]}
print("chinchilla", version("chinchilla"))

def fitted(*names):
    fit = Chinchilla("-".join(names), param_grid={name: START[name] for name in names}, loss_fn=mse, log_level=50)
    for n in (1e7, 1e8, 1e9):
        for d in (1e9, 1e10, 1e11):
            fit.append(N=n, D=d, loss=1.69 + 406.4 / n**0.34 + 410.7 / d**0.28)
    fit.fit(parallel=False)
    parameters, tokens = fit.allocate_compute(1e22)
    law = {name: round(float(value), 3) for name, value in fit.params.items()}
    print(", ".join(names), law, f"best use of 1e22 FLOPs: {parameters:.3g} parameters, {tokens:.3g} tokens")
    return law, parameters

law, parameters = fitted("e", "a", "b", "alpha", "beta")
assert abs(law["alpha"] - 0.34) < 0.002 and abs(law["beta"] - 0.28) < 0.002 and 4e9 < parameters < 6e9
for names in (("e", "a", "alpha", "b", "beta"), ("alpha", "beta", "e", "a", "b")):
    assert fitted(*names)[0]["alpha"] > 1
PY
