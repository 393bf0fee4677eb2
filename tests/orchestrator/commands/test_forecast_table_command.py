"""`dit-grid forecast TABLE --predict ROWS`: the contract of its CSV, what a person reads, one line where wrong."""

import io
import json
import subprocess
import sys

import pandas as pd
import pytest
from click.testing import CliRunner

from dit_grid.orchestrator.commands.cli import cli, main

TRAIN = """family,gflops,fid
DiT,6.06,68.4
DiT,23.01,43.47
DiT,80.71,23.33
SiT,6.06,57.6
SiT,23.01,33.0
SiT,80.71,18.8
"""
"""S/2, B/2, L/2 at 400K steps: Peebles & Xie 2022, Table 4; Ma et al. 2024 (SiT), Table 1. XL/2: 19.47 and 17.2."""
ASKED = "family,gflops\nSiT,118.64\nDiT,118.64\n"


@pytest.fixture
def files(tmp_path):
    train, asked = tmp_path / "train.csv", tmp_path / "rows.csv"
    train.write_text(TRAIN)
    asked.write_text(ASKED)
    return train, asked


def ask(*arguments):
    return CliRunner().invoke(cli, ["forecast", *map(str, arguments)])


def options(asked, **changed):
    given = {"--predict": asked, "--y": "fid", "--x": "gflops"} | changed
    return [part for name, value in given.items() if value is not None for part in (name, value)]


def test_csv_has_a_row_an_asked_row_in_order_with_intervals_that_hold(files):
    train, asked = files
    found = ask(train, *options(asked, **{"--group": "family", "--format": "csv"}))
    assert found.exit_code == 0, found.output
    table = pd.read_csv(io.StringIO(found.stdout))
    assert list(table.columns) == ["predicted", "low", "high"]
    assert table["low"].lt([17.2, 19.47]).all()
    assert table["high"].gt([17.2, 19.47]).all()
    assert table["predicted"].sub([17.2, 19.47]).abs().max() < 2.5


def test_an_empty_group_means_none(files):
    train, asked = files
    empty = ask(train, *options(asked, **{"--group": "", "--format": "csv"})).stdout
    assert empty == ask(train, *options(asked, **{"--format": "csv"})).stdout


def test_notes_go_beside_the_csv_and_not_into_it(files):
    train, asked = files
    train.write_text(TRAIN + "SiT,0,1\n")
    found = ask(train, *options(asked, **{"--group": "family", "--format": "csv"}))
    assert len(pd.read_csv(io.StringIO(found.stdout))) == 2
    assert "gflops is zero or negative" in found.stderr
    assert "line 8" in found.stderr


def test_a_person_reads_forms_distance_and_floor(files):
    train, asked = files
    text = ask(train, *options(asked, **{"--group": "family", "--compute": "gmacs"})).output
    for words in ("95 % intervals of one new run", "power of compute", "decades past", "Floor", "gmacs"):
        assert words in text


def test_on_a_narrow_terminal_no_line_is_wider_and_no_percent_sign_stands_alone(files, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    train, asked = files
    lines = ask(train, *options(asked, **{"--group": "family"})).output.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line.lstrip().startswith("%") for line in lines)


def test_json_holds_the_rows_and_the_weights(files):
    train, asked = files
    found = json.loads(ask(train, *options(asked, **{"--group": "family"}), "--json").stdout)
    assert [row["family"] for row in found["predictions"]] == ["SiT", "DiT"]
    assert sum(found["forms"].values()) == pytest.approx(1)


def test_parquet_and_tsv_are_read_too(files, tmp_path):
    train, asked = files
    frame = pd.read_csv(train)
    frame.to_csv(tmp_path / "train.tsv", sep="\t", index=False)
    frame.to_parquet(tmp_path / "train.parquet")
    same = {ask(tmp_path / f"train.{end}", *options(asked, **{"--format": "csv"})).stdout
            for end in ("csv", "tsv", "parquet")}  # fmt: skip
    assert len(same) == 1
    assert same.pop()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--y": "fdi"}, "no column 'fdi' (did you mean 'fid'?)"),
        ({"--x": "gflop"}, "no column 'gflop' (did you mean 'gflops'?)"),
        ({"--x": "family"}, "column 'family': 'DiT' is not a number"),
        ({"--group": "famly"}, "no column 'famly' (did you mean 'family'?)"),
        ({"--predict": None}, "a table's forecast needs --predict"),
        ({"--y": None}, "a table's forecast needs --y"),
        ({"--predict": "nowhere.csv"}, "nowhere.csv: no such file"),
        ({"--models": "XL/1"}, "--models goes with a store or spec"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(files, changed, message, monkeypatch, capfd):
    train, asked = files
    monkeypatch.setattr(sys, "argv", ["dit-grid", "forecast", *map(str, (train, *options(asked, **changed)))])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_table_options_without_a_table_are_refused():
    done = ask("results/digits", "--y", "fid")
    assert "--y goes with a table" in str(done.exception)


def test_a_tables_forecast_imports_neither_jax_nor_ray(files):
    train, asked = files
    code = (
        "import sys; from dit_grid.orchestrator.commands.cli import cli; "
        f"cli(['forecast', {str(train)!r}, *{[str(o) for o in options(asked)]!r}], standalone_mode=False); "
        "print(sorted(m for m in ('jax', 'ray', 'matplotlib') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


SOLD = """gflops,fid,hours
6.06,68.4,1
23.01,43.47,4
5.6,,1
40,,7
80.71,,14
200,,90
"""


def suggest(tmp_path, *options, rows=SOLD):
    (tmp_path / "runs.csv").write_text(rows)
    (tmp_path / "dear.csv").write_text("gflops\n118.64\n")
    given = ["--predict", tmp_path / "dear.csv", "--y", "fid", "--x", "gflops", "--cost", "hours", *options]
    found = CliRunner().invoke(cli, ["suggest", str(tmp_path / "runs.csv"), *map(str, given)])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        return f"{type(found.exception).__module__} {found.exception}"
    return found.output


def test_of_a_table_the_rows_to_measure_next_are_named_and_written(tmp_path):
    out = tmp_path / "next.csv"
    shown = suggest(tmp_path, "--budget", "20h", "-o", out)
    assert "fid of the rows to be known: now within" in shown
    chosen = pd.read_csv(out)
    assert 80.71 in set(chosen["gflops"])  # the nearest to what is asked that the budget holds
    assert chosen["hours"].sum() <= 20
    found = json.loads(suggest(tmp_path, "--budget", "20h", "--json"))
    assert found["error_expected"] < found["error"]
    assert [row["gflops"] for row in found["candidates"] if row["bought"]] == chosen["gflops"].tolist()
    assert len(found["candidates"]) == 4


@pytest.mark.parametrize(
    ("options", "rows", "message"),
    [
        (["--budget", "20"], SOLD, "5000usd, 200h or 1e21flops"),
        (["--budget", "20h", "--cost", "euros"], SOLD, "'euros'"),
        (["--budget", "20h", "--target", "exponent"], SOLD, "--target goes with a store or spec"),
        (["--budget", "20h"], SOLD.replace(",,", ",9,"), "no row is left to choose from"),
        (["--budget", "20h"], SOLD.replace(",7", ",dear"), "'dear' is not a number"),
        (["--budget", "20h"], SOLD.replace(",7", ",-7"), "line 5, column 'hours': -7; what a row for sale costs must"),
        (["--budget", "0.1h", "-o", "next.csv"], SOLD, "nothing to write"),
        (["--budget", "20h", "--y", ""], SOLD, "a table's suggestion needs --y"),
    ],
)
def test_a_wrong_request_for_rows_is_one_line(tmp_path, options, rows, message):
    said = suggest(tmp_path, *options, rows=rows)
    assert said.startswith("dit_grid.")
    assert message in said
    assert "\n" not in said
