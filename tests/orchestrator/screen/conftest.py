"""What tests of the screen share: a terminal of a given width."""

import sys

import pytest


@pytest.fixture
def terminal(monkeypatch):
    """Make standard output a terminal of a given number of columns."""

    def make(columns):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))

    return make
