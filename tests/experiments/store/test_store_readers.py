"""The lines of docs/store.md that read a store, run as they stand there."""

import re
from pathlib import Path

import pytest

from dit_grid.experiments.store import Store
from dit_grid.experiments.store.compaction import compact

DOCS = Path(__file__).parents[3] / "docs" / "store.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
PLAIN = [line for line in BLOCKS[2].splitlines() if line.strip()]
RUN = "b-4-3f9c2a"


@pytest.fixture
def filled(store):
    spec = '{"model": {"size": "B"}}'
    store.add_run({"run_id": RUN, "spec": spec, "model": "B/4", "experiment": "x", "steps": 40, "batch": 16})
    attempt = store.begin_attempt(RUN, 0)
    with store.writer(attempt, rows_per_flush=4) as writer:
        for step in (10, 20, 30, 40):
            writer.train({"step": step, "loss": 1 / step})
            writer.eval({"step": step, "metric": "fid", "protocol": "p", "value": 2.0 * step, "samples": 100})
            writer.eval({"step": step, "metric": "accuracy", "protocol": "p", "value": 0.5})
    store.end_attempt(attempt, "done")
    return store


def run_line(line, store):
    names: dict[str, object] = {}
    exec(line.replace("STORE", store.paths.root).replace("RUN", RUN).replace("METRIC", "fid"), names)
    return names


def test_all_four_readers_are_there():
    assert [line.split(";")[0] for line in PLAIN] == [
        "import pandas", "import pyarrow.dataset as ds", "import duckdb", "import polars",
    ]  # fmt: skip


@pytest.mark.parametrize("packed", [False, True], ids=["segments", "compacted"])
@pytest.mark.parametrize("line", PLAIN, ids=lambda line: line.split(";")[0].split()[1])
def test_a_plain_line_reads_the_files(filled, line, packed):
    if packed:
        assert compact(filled)
        for name in filled.files.walk("evals"):
            if "/a0" in name:
                filled.files.delete(name)
    rows = run_line(line, filled)["rows"]
    found = sorted(zip(rows["step"], rows["value"], map(str, rows["metric"]), strict=True))
    assert found == [(step, 2.0 * step, "fid") for step in (10, 20, 30, 40)]


def test_the_lines_that_apply_the_rule(filled):
    results = run_line(BLOCKS[0], filled)["results"]
    assert sorted(results.evals["value"]) == [0.5, 0.5, 0.5, 0.5, 20.0, 40.0, 60.0, 80.0]
    assert len(results.train) == 4
    assert run_line(BLOCKS[1], filled)["train"]["loss"].to_pylist() == [1 / step for step in (10, 20, 30, 40)]


def test_an_import_as_documented(tmp_path, store):
    from dit_grid.experiments.spec.source import read_yaml
    from dit_grid.experiments.store.importing import import_log

    (text,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(text)
    log = tmp_path / "log.csv"
    log.write_text("name,_step,train/loss,fid50k\nother,100,0.5,\nother,200,0.25,43.5\n")
    assert import_log(Store.open(store.paths.root), log, read_yaml(mapping).plain()) == ["other"]
    assert store.train()["loss"].to_pylist() == [0.5, 0.25]
    assert store.evals().select(["value", "samples"]).to_pylist() == [{"value": 43.5, "samples": 50_000}]
