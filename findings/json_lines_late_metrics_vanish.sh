#!/usr/bin/env bash
# polars 2.1.0, duckdb 2.0.1: a metric that is not in the first rows of a log of JSON lines is not read, and nothing is said.
# Training logs are of that kind: a loss at every row, an FID or validation loss every thousand rows. polars takes columns
# from the first 100 rows (`read_ndjson` and `scan_ndjson`), DuckDB from the first 20480, for a glob from its first files;
# later keys are dropped. pyarrow and pandas read the same files whole. So a notebook that worked on short runs finds no
# FID in long ones, or, where the first evaluation comes early, does find the one metric and not the next.
# Seen: rows before the first FID: polars has it up to 99, not from 100; DuckDB up to 20479, not from 20480
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q polars==2.1.0 duckdb==2.0.1 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6 2>/dev/null
cd "$folder"
venv/bin/python - <<'PY'
import json

import duckdb, pandas, polars, pyarrow, pyarrow.json

LOG = "metrics.jsonl"
print(*(f"{module.__name__} {module.__version__}" for module in (polars, duckdb, pyarrow, pandas)))

def log(without):
    """Rows of a run whose first FID comes after that many rows."""
    with open(LOG, "w") as file:
        for step in range(1, without + 2):
            row = {"step": step, "loss": 3 - step * 1e-6}
            file.write(json.dumps(row if step <= without else row | {"fid": 20.5}) + "\n")

readers = {
    "polars read_ndjson": lambda: polars.read_ndjson(LOG).columns,
    "polars scan_ndjson": lambda: polars.scan_ndjson(LOG).collect().columns,
    "duckdb": lambda: duckdb.sql(f"select * from '{LOG}'").columns,
    "pyarrow": lambda: pyarrow.json.read_json(LOG).column_names,
    "pandas": lambda: list(pandas.read_json(LOG, lines=True).columns),
}
for without in (99, 100, 20479, 20480):
    log(without)
    found = {name: "fid" in read() for name, read in readers.items()}
    print(f"{without:5} rows before the first FID:", *(name for name in found if found[name]), "find it")
    assert found["pyarrow"] and found["pandas"] and found["duckdb"] == (without < 20480)
    assert found["polars read_ndjson"] == found["polars scan_ndjson"] == (without < 100)
PY
