"""The lines of docs/store.md that read a store, run as they stand there."""

import re
import shutil
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow.dataset
import pytest

from dit_grid.experiments.store import Store
from dit_grid.experiments.store.compaction import collect, compact
from dit_grid.experiments.store.export import export

DOCS = Path(__file__).parents[3] / "docs" / "store.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
(SQL,) = re.findall(r"```sql\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
GOLDEN = Path(__file__).parents[2] / "golden"
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


def crashed(store):
    """Attempt 1 writes to step 40 and dies; 2 goes on from 20, measures it again, writes a row twice, and dies."""
    store.add_run({"run_id": RUN, "spec": "{}", "model": "B/4"})
    for resume, steps, value in ((0, (10, 20, 30, 40), 1.0), (20, (20, 30, 30), 2.0)):
        with store.writer(store.begin_attempt(RUN, resume), rows_per_flush=1) as writer:
            for count, step in enumerate(steps):
                writer.eval(
                    {"step": step, "metric": "fid", "protocol": "p", "value": value + count, "labels": "uniform"}
                )
                writer.train({"step": step, "loss": value + count, "loss_t1": 1.0})


def crashed_again(store):
    """The same numbers once more: attempt 3 goes on from 10 and measures what 2 did."""
    with store.writer(store.begin_attempt(RUN, 10), rows_per_flush=1) as writer:
        for step, value in ((20, 2.0), (30, 4.0)):
            writer.eval({"step": step, "metric": "fid", "protocol": "p", "value": value, "labels": "uniform"})


CRASHED = [(RUN, 10, 1.0), (RUN, 20, 2.0), (RUN, 30, 4.0)]
"""Of `crashed`: step 40 is past where attempt 2 took over, its rows at 20 and 30 are the later ones."""

OLD = {
    "store_v1": [("b-4-bbbbbb", 20, 5.0), ("b-4-bbbbbb", 40, 3.0), ("s-8-aaaaaa", 20, 5.0), ("s-8-aaaaaa", 40, 2.5)],
    "store_v2": [("s-8-aaaaaa", 40, 3.0)],
}
"""The measurements of the stores that older versions wrote, as test_store_versions states them."""


def _clean_up(store):
    assert collect(store, dry_run=False, grace_s=-1)


def _replaced_in_part(store):
    """As a clean-up leaves it that was killed in the middle."""
    replaced = sorted(removal.name for removal in collect(store, grace_s=-1))
    for name in replaced[: len(replaced) // 2]:
        store.files.delete(name)


STATES = {
    "crashed": [crashed],
    "compacted": [crashed, compact],
    "compacted, half cleaned up": [crashed, compact, _replaced_in_part],
    "compacted, cleaned up": [crashed, compact, _clean_up],
    "compacted twice": [
        crashed, compact, crashed_again, compact, _replaced_in_part
    ],
    "compacted, then crashed": [crashed, compact, crashed_again],
}  # fmt: skip


@pytest.fixture(params=[None, *OLD], ids=["new", "with version 1", "with version 2"])
def before(request, tmp_path):
    """A store with nothing in it or with what an older version left, and the measurements that it has."""
    if request.param is None:
        return Store.create(tmp_path / "store"), []
    shutil.copytree(GOLDEN / request.param, tmp_path / "store")
    return Store.open(tmp_path / "store"), OLD[request.param]


def queried(sql):
    found = duckdb.sql(sql)
    assert found is not None
    return found.df()


def numbers(rows):
    return sorted(zip(map(str, rows["run_id"]), map(int, rows["step"]), map(float, rows["value"]), strict=True))


@pytest.mark.parametrize("state", STATES)
def test_every_documented_reader_is_right_in_every_state(before, state, tmp_path):
    store, expected = before
    for happens in STATES[state]:
        happens(store)
    expected = sorted([*expected, *CRASHED])
    assert numbers(Store.open(store.paths.root).evals().to_pandas()) == expected
    fid = [row for row in expected if row not in OLD["store_v2"]]  # which holds another metric
    for line in PLAIN:
        rows = run_line(line, store)["rows"]
        assert numbers(rows) == fid, line
        assert {"labels", "sampling_s"} <= set(rows.columns), line
    assert numbers(queried(SQL.replace("STORE", store.paths.root))) == expected
    folder = tmp_path / "exported"
    export(store, folder, "parquet")
    for read in (
        lambda file: pandas.read_parquet(file),
        lambda file: pyarrow.dataset.dataset(file).to_table().to_pandas(),
        lambda file: queried(f"from '{file}'"),
        lambda file: polars.read_parquet(file),
    ):
        assert numbers(read(str(folder / "evals.parquet"))) == expected


def test_duckdb_finds_the_runs_that_diverged_in_an_export(store, tmp_path):
    """Parquet's statistics leave NaN out, and DuckDB takes a column with them to have none."""
    with store.writer(store.begin_attempt(RUN, 0), rows_per_flush=1) as writer:
        for step, loss in ((1, 2.0), (2, float("nan")), (3, 1.0)):
            writer.train({"step": step, "loss": loss})
    export(store, tmp_path, "parquet")
    assert list(queried(f"from '{tmp_path}/train.parquet' where isnan(loss)")["step"]) == [2]
    assert list(queried(f"from '{tmp_path}/train.parquet' where loss > 4")["step"]) == [2]  # NaN is its greatest number
    assert queried(f"select max(loss) as most from '{tmp_path}/train.parquet'")["most"].isna().all()


def test_the_line_of_the_readme_is_right(before):
    store, expected = before
    crashed(store)
    compact(store)
    (lines,) = re.findall(r"((?:    .*\n)+)\nEach number once", README)
    names: dict[str, pandas.DataFrame] = {}
    exec("\n".join(line.strip() for line in lines.splitlines()).replace("results/digits", store.paths.root), names)
    assert numbers(names["evals"]) == sorted([*expected, *CRASHED])


def test_no_document_points_a_reader_at_the_files_themselves():
    for text in (README, DOCS.read_text(encoding="utf-8")):
        asked = [line for line in text.splitlines() if re.search(r"read_parquet\([\"'](STORE|results)", line)]
        assert all("Do not" in line or "union_by_name" in line for line in asked)
