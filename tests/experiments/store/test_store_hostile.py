"""Files that no writer of the store made: foreign ones are ignored, damaged ones are named, and `check` lists both."""

import json
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dit_grid.experiments.store import DamagedFileError, Store, StoreError
from dit_grid.experiments.store.check import check
from dit_grid.experiments.store.compaction import collect, compact
from dit_grid.experiments.store.encoding import decode, encode
from dit_grid.experiments.store.records import TRAIN

RUN = "b-4-3f9c2a"
SEGMENT = f"train/{RUN}/a000001-n00000000.parquet"


@pytest.fixture
def filled(store):
    store.add_run({"run_id": RUN, "spec": "{}"})
    with store.writer(store.begin_attempt(RUN, 0), rows_per_flush=10) as writer:
        for step in range(1, 31):
            writer.train({"step": step, "loss": 1 / step})
    return store


def everything(store: Store) -> list:
    return [store.runs(), store.train(), store.evals(), store.events(), store.states(), store.latest_train()]


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "runs/README.md",
        "runs/-rf.parquet",
        f"train/{RUN}/a1-n2.parquet",
        f"train/{RUN}/a000001-n00000000.parquet.tmp",
        f"train/{RUN}/a000001-n00000000 (1).parquet",
        f"train/{RUN}/.tmp-1234",
        f"train/{RUN}/.~lock.parquet",
        f"train/{RUN}/deeper/a000001-n00000007.parquet",
        "train/a000001-n00000007.parquet",
        "evals/run_id=x/a000001-n00000000.parquet",
        "events/n00000000.parquet",
        f"attempts/{RUN}.a000002.start.json.swp",
        f"attempts/{RUN}.a2.start.json",
        f"attempts/{RUN}.a000001.DONE.json",
        f"attempts/sub/{RUN}.a000009.start.json",
    ],
)
def test_foreign_files_change_nothing(filled, name):
    expected = everything(filled)
    path = f"{filled.paths.root}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"hello")
    assert everything(Store.open(filled.paths.root)) == expected
    assert filled.begin_attempt(RUN, 30).number == 2
    assert [finding.name for finding in check(filled) if finding.is_error] == []


def test_links_and_pipes_cannot_hang_or_trap_a_reader(filled):
    folder = f"{filled.paths.root}/train/{RUN}"
    os.symlink(filled.paths.root, f"{folder}/loop")
    os.mkfifo(f"{folder}/a000001-n00000003.parquet")
    os.symlink("/nowhere", f"{folder}/a000001-n00000004.parquet")
    assert filled.train().num_rows == 30


def change(path: str, how: str) -> None:
    with open(path, "rb") as file:
        data = bytearray(file.read())
    if how == "truncated":
        del data[len(data) // 2 :]
    elif how == "empty":
        data = bytearray()
    elif how == "foreign":
        data = bytearray(b"step,loss\n1,2\n")
    with open(path, "wb") as file:
        file.write(data)


@pytest.mark.parametrize("how", ["truncated", "empty", "foreign"])
def test_a_damaged_segment_is_named_and_never_skipped(filled, how):
    """To leave its rows out in silence would be to lose numbers."""
    change(f"{filled.paths.root}/{SEGMENT}", how)
    with pytest.raises(DamagedFileError, match=rf"^{SEGMENT}: not a readable train file") as error:
        filled.train()
    assert "\n" not in str(error.value)
    assert [finding.name for finding in check(filled)] == [SEGMENT]


def test_a_flipped_bit_is_noticed_or_harmless(filled):
    """Checksums guard the pages; names, counts and the version in the footer are compared with what must be there."""
    name = f"train/{RUN}/a000001-n00000001.parquet"
    data = filled.files.read(name)
    constants = {"run_id": RUN, "attempt": 1}
    sound = decode(TRAIN, data, name, constants)
    noticed, footer = 0, len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    schema = [(place, bit) for place in range(footer, footer + 300) for bit in range(8)]  # no checksum guards it
    flips = [(place, 4) for place in range(0, len(data), 3)] + schema
    for place, bit in flips:
        flipped = bytearray(data)
        flipped[place] ^= 1 << bit
        try:
            assert decode(TRAIN, bytes(flipped), name, constants) == sound, f"bit {bit} of byte {place}"
        except StoreError:
            noticed += 1
    assert noticed > len(flips) / 3


def test_a_file_of_no_rows_hides_none(filled):
    expected = everything(filled)
    filled.files.create(f"train/{RUN}/a000001-n00000003.parquet", encode(TRAIN.schema.empty_table()))
    assert everything(filled) == expected
    compact(filled)
    assert everything(filled) == expected


def test_rows_of_another_table_are_refused(filled):
    shutil.copy(f"{filled.paths.root}/runs/{RUN}.parquet", f"{filled.paths.root}/{SEGMENT}")
    with pytest.raises(DamagedFileError, match="holds no rows of the table 'train'"):
        filled.train()


def test_a_column_of_the_wrong_type_is_refused(filled):
    path = f"{filled.paths.root}/{SEGMENT}"
    table = pq.read_table(path)
    at = table.schema.get_field_index("loss")
    pq.write_table(table.set_column(at, "loss", pa.array(["high"] * 10)), path)
    with pytest.raises(DamagedFileError, match="not a readable train file"):
        filled.train()


def test_a_file_counts_for_the_run_that_its_name_says_and_check_tells(filled):
    os.makedirs(f"{filled.paths.root}/train/copied")
    shutil.copy(f"{filled.paths.root}/{SEGMENT}", f"{filled.paths.root}/train/copied/a000001-n00000000.parquet")
    assert set(filled.train(["copied"])["run_id"].to_pylist()) == {"copied"}
    problems = {finding.name: finding.problem for finding in check(filled)}
    assert problems["train/copied/a000001-n00000000.parquet"] == f"rows say run_id ['{RUN}'], the name says 'copied'"
    assert "missing" in problems["attempts/copied.a000001.start.json"]


def test_check_finds_what_is_missing(filled):
    filled.begin_attempt(RUN, 10)
    filled.begin_attempt(RUN, 10)
    filled.begin_attempt("never-added", 0)
    for name in (f"train/{RUN}/a000001-n00000001.parquet", f"attempts/{RUN}.a000002.start.json"):
        os.unlink(f"{filled.paths.root}/{name}")
    assert [finding.name for finding in check(filled)] == [
        f"attempts/{RUN}.a000002.start.json",
        "runs/never-added.parquet",
        f"train/{RUN}/a000001-n00000001.parquet",
    ]


def test_check_misses_the_history_of_a_run_whose_only_compaction_was_deleted(filled):
    filled.end_attempt(filled.attempts(RUN)[0].attempt, "done", {"step": 30, "summary": {"loss": 0.5, "metrics": {}}})
    compact(filled)
    collect(filled, dry_run=False, grace_s=-60)
    assert check(filled) == []
    os.unlink(f"{filled.paths.root}/train/{RUN}/c000001.parquet")
    (finding,) = check(filled)
    assert (finding.name, finding.is_error) == (f"train/{RUN}", True)
    assert "though the run ended with loss 0.5" in finding.problem


@pytest.mark.parametrize(
    "content", ["", "[]", '{"resume_step": "5"}', '{"resume_step": -1}', '{"resume_step": true}', "{}"]
)
def test_a_fence_that_says_nothing_is_an_error_not_a_guess(filled, content):
    filled.begin_attempt(RUN, 10)
    with open(f"{filled.paths.root}/attempts/{RUN}.a000002.start.json", "w") as file:
        file.write(content)
    with pytest.raises(DamagedFileError, match=rf"{RUN}.a000002.start.json"):
        Store.open(filled.paths.root).train()


@pytest.mark.parametrize("run_id", ["", "../../etc/passwd", "a/b", ".hidden", "a b", "ünï", "x" * 129, "a\nb", None, 7])
def test_a_run_id_that_could_leave_the_store_is_refused(store, run_id):
    with pytest.raises(StoreError):
        store.begin_attempt(run_id, 0)
    with pytest.raises(StoreError):
        store.add_run({"run_id": run_id, "spec": "{}"})


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"step": 1, "los": 1.0}, "no column 'los'; did you mean 'loss'"),
        ({"loss": 1.0}, "'step' is missing"),
        ({"step": 1, "loss": "low"}, "column 'loss' takes double, got 'low' \\(str\\)"),
        ({"step": 1.5}, "column 'step' takes int64, got 1.5"),
        ({"step": 2**63}, "column 'step' takes int64"),
        ({"step": 1, "loss": [1.0]}, "column 'loss' takes double"),
    ],
)
def test_a_bad_row_is_refused_where_it_is_made_and_spoils_nothing(store, row, says):
    with store.writer(store.begin_attempt(RUN, 0)) as writer:
        with pytest.raises(StoreError, match=says):
            writer.train(row)
        writer.train({"step": 1, "loss": float("nan")})
    assert store.train().num_rows == 1


def test_the_clocks_of_the_writers_do_not_matter(tmp_path):
    """Two hosts an hour apart: order comes from attempts and segments, never from wall time."""
    store = Store.create(str(tmp_path))
    ahead, behind = Store(store.files, clock=lambda: 7200.0), Store(store.files, clock=lambda: 3600.0)
    for one, loss in ((ahead, 1.0), (behind, 2.0)):
        with one.writer(one.begin_attempt(RUN, 0)) as writer:
            writer.train({"step": 1, "loss": loss})
    assert store.train()["loss"].to_pylist() == [2.0]


def test_the_same_run_again_is_nothing_new_and_another_spec_under_its_id_is_refused(store):
    spec = {"seed": 0, "batch": 256}
    assert store.add_run({"run_id": RUN, "spec": json.dumps(spec)})
    assert not store.add_run({"run_id": RUN, "spec": json.dumps(spec, indent=1), "experiment": "another name"})
    with pytest.raises(StoreError, match=r"\(batch: there 256, here 512\)") as error:
        store.add_run({"run_id": RUN, "spec": json.dumps(spec | {"batch": 512})})
    assert "seed: there" not in str(error.value)
    assert store.runs().num_rows == 1
