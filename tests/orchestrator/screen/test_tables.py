"""A person at a terminal sees no cut cell: columns that do not fit go, by name, and lines break between words."""

import json
import re
from pathlib import Path

from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.planning.work import record_runs
from dit_grid.orchestrator.screen.grid import names_of
from dit_grid.orchestrator.screen.status import read_status
from dit_grid.orchestrator.screen.tables import print_json, print_rows, status_table

COLUMNS = {"model": "model", "size": "size", "tokens": "tokens", "fd_conv": "fd_conv"}
ROWS = [{"model": "XL/2", "size": "XL", "tokens": 256, "fd_conv": 6.125}]


def printed(capsys):
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()


def test_a_narrow_terminal_loses_spare_columns_and_cuts_no_cell(terminal, capsys):
    terminal(24)
    print_rows(COLUMNS, ROWS, spare=["size", "tokens"])
    header, row, *left_out = printed(capsys)
    assert header.split() == ["model", "tokens", "fd_conv"]
    assert row.split() == ["XL/2", "256", "6.125"]
    assert " ".join(line.strip() for line in left_out) == "not shown, for want of width: size"


def test_where_all_fits_nothing_is_left_out(terminal, capsys):
    terminal(80)
    print_rows(COLUMNS, ROWS, spare=["size", "tokens"])
    assert printed(capsys)[0].split() == list(COLUMNS)


def test_numbers_that_json_has_no_word_for_are_null(capsys):
    """A diverged run's loss is NaN; `status --json` shows every run all the same."""
    print_json([{"loss": float("nan"), "metrics": {"fid": float("inf")}, "steps": (1, 2)}, {"loss": 0.5}])
    found = json.loads(capsys.readouterr().out)
    assert found == [{"loss": None, "metrics": {"fid": None}, "steps": [1, 2]}, {"loss": 0.5}]


def test_runs_of_one_model_are_told_apart_by_what_they_were_swept_over(tmp_path, small_spec):
    """Three rows "S/4" say nothing; each carries the rate that it was trained at, in status and while it trains."""
    how = (
        "train: {steps: 200, batch: 16}\nevaluate: {every: 100, settings: [{metrics: [heldout_loss], samples: 297}]}\n"
    )
    path = small_spec(tmp_path / "swept.yaml", tmp_path / "store", how)
    text = path.read_text().replace(
        "model.patch: [4]}", "model.patch: [4], train.optimizer.learning_rate: [1e-3, 1e-2]}"
    )
    path.write_text(text)
    spec = load_spec(str(path))
    store = Store.create(spec.store)
    record_runs(spec, store)
    rows = read_status(store)
    assert sorted((row.model, row.swept["train.optimizer.learning_rate"]) for row in rows) == [
        ("B/4", 0.001), ("B/4", 0.01), ("S/4", 0.001), ("S/4", 0.01),
    ]  # fmt: skip
    assert "train.optimizer.learning_rate" in [column.header for column in status_table(rows).columns]
    assert set(names_of(spec.runs).values()) == {
        f"{model} learning_rate={rate}" for model in ("S/4", "B/4") for rate in (0.001, 0.01)
    }
    assert set(names_of(spec.runs[:1]).values()) == {spec.runs[0].model.name}


def test_seeds_tell_runs_apart_and_what_is_in_a_name_already_is_not_said_again():
    runs = load_spec(str(Path(__file__).parents[3] / "examples/numpy/mlp.yaml")).runs
    assert list(names_of(runs).values())[:3] == ["width=4 seed=0", "width=4 seed=1", "width=8 seed=0"]
