"""A table of one's own: what is read of it, what is dropped and why, and what is refused in one line."""

import numpy as np
import pandas as pd
import pytest

from dit_grid.analysis.fits import CannotFitError
from dit_grid.analysis.fits.points import law_named, read_points

COLUMNS = ("params", "tokens", "loss")


@pytest.fixture
def table(tmp_path):
    """Writes 16 points of 2 + 400 N^-0.34 + 400 D^-0.28, cells turned to text by the functions given; its path."""

    def write(**turned):
        lines = [",".join(COLUMNS)]
        for n in 10.0 ** np.arange(6, 10):
            for d in 10.0 ** np.arange(8, 12):
                row = {"params": n, "tokens": d, "loss": 2 + 400 / n**0.34 + 400 / d**0.28}
                lines.append(",".join(f'"{turned.get(c, repr)(float(v))}"' for c, v in row.items()))
        path = tmp_path / "runs.csv"
        path.write_text("\n".join(lines))
        return str(path)

    return write


def fitted(path, form="powers", x=("params", "tokens"), delta=1e-3):
    return law_named(form, x, "loss", delta).fit(read_points(path, (*x, "loss")))


def test_thousands_separators_give_the_numbers_and_are_said(table):
    """Planted exponents come back from cells such as "10,000,000"."""
    path = table(params="{:,.0f}".format, tokens="{:,.0f}".format)
    with pytest.warns(
        UserWarning, match=r"column (params|tokens) has commas in 16 cells, read as thousands separators"
    ):
        found = fitted(path)
    assert found.n == 16
    assert found.params["exponent[params]"].value == pytest.approx(0.34, rel=1e-6)


def test_a_decimal_comma_is_never_taken_for_a_thousands_separator(table):
    with pytest.raises(CannotFitError, match=r"got 0, dropped 16: row 2 \(loss is '7,9\d+', no number\)"):
        fitted(table(loss=lambda v: repr(v).replace(".", ",")))


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("n/a?", "params is 'n/a?', no number"),
        ("True", "params is 'True', no number"),
        ("inf", "params is inf"),
        ("nan", "params is nan"),
        ("", "params is nan"),
        ("-3", "params = -3 has no logarithm"),
        ("1e-300", "params = 1e-300 is too small to compute with"),
        ("1e300", "params = 1e+300 is too large to compute with"),
    ],
)
def test_a_row_that_cannot_be_used_is_dropped_with_the_reason(table, cell, why):
    """Of the four sizes the smallest is damaged: 4 rows go, 12 are fitted."""
    found = fitted(table(params=lambda v: cell if v == 1e6 else repr(v)))
    assert [(one.row, one.reason) for one in found.dropped] == [(row, why) for row in range(2, 6)]
    assert found.n == 12


@pytest.mark.parametrize("form", ["powers", "power", "line", "quadratic", "interaction"])
@pytest.mark.parametrize("cell", ["1e308", "1e-308", "text", "nan"])
def test_where_nothing_is_left_every_form_says_why(table, form, cell):
    x = ("params",) if form in ("power", "line", "quadratic") else ("params", "tokens")
    with pytest.raises(CannotFitError, match=r"dropped 16: row 2 \(loss "):
        fitted(table(loss=lambda _: cell), form, x, None)


@pytest.mark.parametrize(
    ("x", "y", "delta", "why"),
    [
        ((), "loss", None, "no column to fit in"),
        (("params", "params"), "loss", None, "column 'params' is named twice"),
        (("params", "tokens"), "params", None, "column 'params' is named twice"),
        (("params",), "loss", float("nan"), "--delta nan: a threshold on ln y is from"),
        (("params",), "loss", 1e-300, "--delta 1e-300: a threshold on ln y is from"),
    ],
)
def test_a_law_that_is_none_is_refused(x, y, delta, why):
    with pytest.raises(CannotFitError, match=why):
        law_named("powers", x, y, delta)


def test_columns_between_semicolons_are_refused_with_the_fix(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("params;tokens;loss\n1;2;3\n")
    with pytest.raises(CannotFitError, match="separate columns by commas"):
        read_points(str(path), COLUMNS)


def test_numbers_are_read_as_they_were(table):
    frame = read_points(table(), COLUMNS)
    assert isinstance(frame, pd.DataFrame)
    assert frame["params"].unique().tolist() == [1e6, 1e7, 1e8, 1e9]
