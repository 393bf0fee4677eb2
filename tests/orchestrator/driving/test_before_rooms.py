"""A store that was written before files moved into rooms: its rows are read, its journal replayed, its run goes on."""

import json
import tarfile
from pathlib import Path

import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.backends.contract import InProcess
from dit_grid.orchestrator.control import journal
from dit_grid.orchestrator.core import Phase
from dit_grid.orchestrator.driving.loop import drive
from dit_grid.orchestrator.planning.work import unfinished

GOLDEN = Path(__file__).parents[2] / "golden"
WROTE = json.loads((GOLDEN / "store_before_rooms.json").read_text())
"""What the version before wrote of the same grid when nobody interrupted it."""

TRAINED_UNTIL = 1500
"""Where B/8 was interrupted; S/8 had ended."""


@pytest.fixture
def spec(tmp_path):
    """The spec of the store, which lies unpacked at its place."""
    with tarfile.open(GOLDEN / "store_before_rooms.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    path = tmp_path / "before.yaml"
    path.write_text((GOLDEN / "store_before_rooms.yaml").read_text().replace("{store}", str(tmp_path / "store")))
    return load_spec(str(path))


def test_its_runs_keep_their_ids_and_its_rows_are_read(spec, numbers):
    assert {run.id for run in spec.runs} == {row["run_id"] for row in WROTE["train"]}
    found = numbers(Store.open(spec.store))
    assert [row for row in WROTE["train"] if row in found["train"]] == found["train"]
    assert {row["step"] for row in found["train"] if row["run_id"].startswith("b-8")} == {500, 1000, TRAINED_UNTIL}


def test_its_journal_replayed_gives_the_same_decisions(spec):
    rows = Store.open(spec.store).events().to_pylist()
    assert {run.id: run.phase for run in journal.replayed(rows).in_order()} == {
        run.id: Phase.DONE if run.model.size == "S" else Phase.WAITING for run in spec.runs
    }


def test_its_unfinished_run_goes_on_from_its_checkpoint_to_the_numbers_of_an_untouched_launch(spec, numbers):
    store, todo = Store.open(spec.store), unfinished(spec)
    assert [run.model.size for run in todo] == ["B"]
    assert drive(todo, store, InProcess(store)).finished
    assert store.states()[todo[0].id].outcome == "done"
    assert [record.attempt.resume_step for record in store.attempts(todo[0].id)] == [0, TRAINED_UNTIL]
    found = numbers(store)
    for table, rows in WROTE.items():
        for got, wrote in zip(found[table], rows, strict=True):
            assert got.keys() == wrote.keys()
            # Same processor, same bits; another one's vector width may round sums of products otherwise, and a digit
            # that is hardly one may then count as another.
            off = 0.05 if wrote.get("metric") == "accuracy" else None
            for name, value in wrote.items():
                assert got[name] == (pytest.approx(value, rel=1e-3, abs=off) if isinstance(value, float) else value)
