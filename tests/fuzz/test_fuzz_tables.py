"""Tables of one's own: CSVs to fit, logs and mappings to import. A fit or an import, or one line of what is wrong."""

import json

import numpy as np

from dit_grid.analysis.fits.points import law_named, read_points
from dit_grid.experiments.spec.source import read_yaml
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.importing import import_log

INPUTS = 1500
HEAD = "params,tokens,loss\n"
ROWS = [(10**n, 10**d, 2 + 400 / 10 ** (n * 0.34) + 400 / 10 ** (d * 0.28)) for n in (6, 7, 8) for d in (8, 9, 10)]
TABLE = (HEAD + "".join(f"{n},{d},{loss:.6f}\n" for n, d, loss in ROWS)).encode()

LOG = b"name,_step,loss,fid\na,100,0.5,30\na,200,0.4,20\nb,100,0.6,\nb,200,0.5,25.5\n"
LINES = b"".join(
    json.dumps({"name": name, "_step": step, "loss": 1 / step, "fid": 30.0}).encode() + b"\n"
    for name in "ab" for step in (100, 200)
)  # fmt: skip
MAPPING = b"""run:   {run_id: {column: name}, model: B/4, params: 130_000_000}
train: {step: {column: _step}, loss: {column: loss}}
evals:
  - {metric: fid, step: {column: _step}, value: {column: fid}, samples: 50_000, sampler: ddpm, guidance: 1.5}
"""


def fitted(path):
    with np.errstate(all="ignore"):
        found = law_named("power", ("params",), "loss").fit(read_points(str(path), ("params", "loss")))
        return found.report(), len(found.dropped)


def test_damaged_tables_to_fit(fuzz, damage, inputs):
    assert fuzz(TABLE, fitted, inputs, damage=damage.text, name="runs.csv", multiple=3000) < inputs


def imported(fuzz, mapping, count=iter(range(10**9))):  # noqa: B008
    def read(path):
        where = fuzz.folder / f"store-{next(count)}"
        store = Store.create(str(where))
        runs = import_log(store, path, mapping(path) if callable(mapping) else mapping)
        return runs, store.train().num_rows, store.evals().num_rows

    return read


def test_damaged_logs_to_import(fuzz, damage, inputs):
    mapping = {
        "run": {"run_id": {"column": "name"}},
        "train": {"step": {"column": "_step"}, "loss": {"column": "loss"}},
    }
    fuzz(LOG, imported(fuzz, mapping), inputs // 4, damage=damage.text, name="log.csv", multiple=3000)
    fuzz(LINES, imported(fuzz, mapping), inputs // 4, damage=damage.text, name="log.jsonl", multiple=3000)


def test_damaged_mappings(fuzz, damage, inputs):
    log = fuzz.folder / "log.csv"
    log.write_bytes(LOG)
    read = imported(fuzz, None)

    def with_mapping(path):
        store = Store.create(str(fuzz.folder / f"mapped-{abs(hash(path.read_bytes()))}"))
        return import_log(store, log, read_yaml(path).plain())

    assert read is not None
    assert fuzz(MAPPING, with_mapping, inputs // 2, damage=damage.text, name="mapping.yaml", multiple=3000)
