"""An import is right, or refused in one line with nothing left behind; what an import does not know stays unknown."""

import re
from pathlib import Path

import pytest

from dit_grid.experiments.store import RunConflictError, Store, StoreError
from dit_grid.experiments.store.importing import import_log, read_log
from dit_grid.model import DiTConfig, accounting

DOCS = Path(__file__).parents[3] / "docs" / "store.md"
HEADER = "name,_step,train/loss,fid50k"
TEXT = f"{HEADER}\nother,100,0.5,\nother,200,0.25,43.5\n"
MAPPING = {
    "run": {"run_id": {"column": "name"}, "model": "B/4", "params": 130_000_000},
    "train": {"step": {"column": "_step"}, "loss": {"column": "train/loss"}},
    "evals": [{"metric": "fid", "step": {"column": "_step"}, "value": {"column": "fid50k"}, "samples": 50_000}],
}


def written(folder, text, name="log.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("name", "encoding"), [("LOG.CSV", "utf-8"), ("log.csv", "utf-8-sig"), ("log.Csv", "utf-8-sig")]
)
def test_a_mark_of_byte_order_and_capitals_in_the_name_are_no_matter(store, tmp_path, name, encoding):
    assert import_log(store, written(tmp_path, TEXT, name, encoding), MAPPING) == ["other"]
    assert store.train()["loss"].to_pylist() == [0.5, 0.25]
    assert store.evals()["value"].to_pylist() == [43.5]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TEXT.replace("fid50k", "fid_50k"), r"no column 'fid50k', .* as evals.value \(did you mean 'fid_50k'\?\)"),
        (TEXT.replace("_step", "step"), r"no column '_step', which the mapping names as train.step"),
        (TEXT.replace(",", ";"), r"log.csv:1: columns are separated by semicolons; write commas"),
        (TEXT.replace(",", "\t"), r"log.csv:1: columns are separated by tabs"),
        (TEXT.replace("200,0.25", "200,0,25"), r"log.csv:3: 5 cells under 4 columns; is a comma inside a number\?"),
        (f"{HEADER},fid50k\n", r"log.csv:1: two columns are called 'fid50k'"),
        (HEADER + "\n", r"none of its 0 rows has a step and a value"),
        (f"{HEADER}\nother,,0.5,\n", r"none of its 1 rows has a step and a value"),
        ("", r"log.csv: is empty"),
        (TEXT.replace("0.25", "0.25\0"), r"log.csv"),
    ],
)  # fmt: skip
def test_a_log_that_is_not_what_the_mapping_says_is_refused(store, tmp_path, text, says):
    with pytest.raises(StoreError, match=says):
        import_log(store, written(tmp_path, text), MAPPING)
    assert store.run_ids() == []


def test_another_encoding_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"not UTF-8 text .*; save it as UTF-8"):
        read_log(written(tmp_path, TEXT, encoding="utf-16"), MAPPING)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"run": {"run_id": {"colum": "name"}}}, r"run.run_id: got {'colum': 'name'}; write {column: NAME}"),
        ({"evals": {"metric": "fid"}}, "section 'evals' must be a list"),
        ({"train": ["loss"]}, "section 'train' must map columns"),
        ({"run": {"run_id": {"column": "name"}, 1: 2}}, "the table 'runs' has no column '1'"),
    ],
)
def test_a_mapping_of_the_wrong_shape_is_refused(tmp_path, changes, says):
    with pytest.raises(StoreError, match=re.escape(says) if "{" in says else says):
        read_log(written(tmp_path, TEXT), MAPPING | changes)
    with pytest.raises(StoreError, match="must have the sections"):
        read_log(written(tmp_path, TEXT), [1])  # type: ignore[arg-type]


def test_a_column_that_no_row_of_json_has_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"no column 'train/loss', .*train\.loss"):
        read_log(written(tmp_path, '{"name": "x", "_step": 1, "fid50k": null}\n', "log.jsonl"), MAPPING)
    text = '{"name": "x", "_step": 1, "train/loss": 1, "fid50": 1, "fid_50k": 1}\n'
    says = r"a\.jsonl: no column 'fid50k', .* as evals\.value \(did you mean 'fid_50k' or 'fid50'\?\); it has 'name'"
    with pytest.raises(StoreError, match=says):
        read_log(written(tmp_path, text, "a.jsonl"), MAPPING)


def test_a_metric_that_some_runs_of_json_have_is_imported(store, tmp_path):
    text = '{"name": "x", "_step": 1, "train/loss": 1}\n{"name": "y", "_step": 1, "train/loss": 1, "fid50k": 7}\n'
    assert import_log(store, written(tmp_path, text, "a.jsonl"), MAPPING) == ["x", "y"]
    assert store.evals()["value"].to_pylist() == [7.0]


def test_a_papers_model_brings_its_shape_and_costs(store, tmp_path):
    import_log(store, written(tmp_path, TEXT), MAPPING)
    (run,) = store.runs().to_pylist()
    config = DiTConfig.from_name("B/4", image_size=32)
    assert run["forward_macs"] == accounting.forward_macs(config)
    assert [run[n] for n in ("size", "patch", "tokens", "width", "depth")] == ["B", 4, 64, 768, 12]
    assert run["params"] == 130_000_000, "what was said stays"
    assert (run["batch"], run["steps"], run["seed"]) == (None, None, None)
    taken, batch = read_log(written(tmp_path, TEXT), MAPPING).notes
    assert "other: taken as the paper's model: image_size 32" in taken
    assert batch == "other: no training compute: batch is not said"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"model": "B/4", "params": 33_000_000}, "params 33,000,000, but B/4 at image_size 32 has 130,426,496"),
        ({"model": "mine"}, "patch, width, depth, heads not said: name the model as SIZE/PATCH"),
        ({"model": "Tiny/4"}, "size 'Tiny' is none of S, B, L, XL"),
        ({"model": "B/5"}, "image_size 32 is not a multiple of patch 5"),
    ],
)
def test_costs_that_cannot_be_known_stay_unknown_and_are_said(tmp_path, said, why):
    parsed = read_log(written(tmp_path, TEXT), MAPPING | {"run": {"run_id": {"column": "name"}, **said}})
    assert why in parsed.notes[0]
    assert not {"forward_macs", "tokens", "image_size"} & parsed.facts["other"].keys()


def test_the_network_that_was_said_is_the_one_that_is_counted(tmp_path):
    said = {"model": "Tiny/2", "width": 64, "depth": 2, "heads": 4, "image_size": 8, "channels": 1, "classes": 10}
    facts = read_log(written(tmp_path, TEXT), MAPPING | {"run": {"run_id": {"column": "name"}, **said}}).facts["other"]
    config = DiTConfig(image_size=8, patch=2, width=64, depth=2, heads=4, channels=1, classes=10)
    assert facts["forward_macs"] == accounting.forward_macs(config)
    assert facts["params"] == accounting.trainable_params(config)


def test_a_run_is_one_thing(store, tmp_path):
    mapping = MAPPING | {"run": {"run_id": {"column": "name"}, "batch": {"column": "batch"}}}
    text = f"{HEADER},batch\nother,1,0.5,,32\nother,2,0.5,,\nother,3,0.5,,64\n"
    with pytest.raises(StoreError, match=r"log.csv:4: run other has batch 64 here and 32 in a row before"):
        read_log(written(tmp_path, text), mapping)
    import_log(store, written(tmp_path, text.replace("64", "")), mapping)
    with pytest.raises(RunConflictError, match=r"run other: already in .* with batch 32, and now said to have 64"):
        import_log(store, written(tmp_path, text.replace("32", "64")), mapping)
    assert store.states()["other"].attempt == 1


def test_of_many_runs_none_is_written_where_one_is_taken(store, tmp_path):
    store.add_run({"run_id": "z", "spec": '{"seed": 0}'})
    with pytest.raises(RunConflictError, match="run z: already in"):
        import_log(store, written(tmp_path, TEXT + "z,1,0.5,\n"), MAPPING)
    assert Store.open(store.paths.root).run_ids() == ["z"]
