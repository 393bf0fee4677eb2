"""A person at a terminal sees no cut cell: columns that do not fit go, by name, and lines break between words."""

import json
import re
import sys

import pytest

from dit_grid.orchestrator.screen.tables import print_json, print_rows, print_text

COLUMNS = {"model": "model", "size": "size", "tokens": "tokens", "fd_conv": "fd_conv"}
ROWS = [{"model": "XL/2", "size": "XL", "tokens": 256, "fd_conv": 6.125}]


@pytest.fixture
def terminal(monkeypatch):
    """Make standard output a terminal of a given number of columns."""

    def make(columns):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))

    return make


def printed(capsys):
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()


def test_a_narrow_terminal_loses_spare_columns_and_cuts_no_cell(terminal, capsys):
    terminal(24)
    print_rows(COLUMNS, ROWS, spare=["size", "tokens"])
    header, row, left_out = printed(capsys)
    assert header.split() == ["model", "tokens", "fd_conv"]
    assert row.split() == ["XL/2", "256", "6.125"]
    assert left_out == "not shown, for want of width: size"


def test_where_all_fits_nothing_is_left_out(terminal, capsys):
    terminal(80)
    print_rows(COLUMNS, ROWS, spare=["size", "tokens"])
    assert printed(capsys)[0].split() == list(COLUMNS)


def test_a_long_line_breaks_between_words(terminal, capsys):
    terminal(20)
    print_text("Law\n  exponent -1.3; converged")
    assert capsys.readouterr().out.splitlines() == ["Law", "  exponent -1.3;", "    converged"]


def test_in_a_pipe_a_line_stays_whole(capsys):
    print_text("  exponent -1.3; " * 20)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_numbers_that_json_has_no_word_for_are_null(capsys):
    """A diverged run's loss is NaN; `status --json` shows every run all the same."""
    print_json([{"loss": float("nan"), "metrics": {"fid": float("inf")}, "steps": (1, 2)}, {"loss": 0.5}])
    found = json.loads(capsys.readouterr().out)
    assert found == [{"loss": None, "metrics": {"fid": None}, "steps": [1, 2]}, {"loss": 0.5}]
