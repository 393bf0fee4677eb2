"""Points made elsewhere: a CSV with a column a quantity, and laws by the short names of the command line.

What is here reads and checks; fits of a store's own results start from `dit_grid.analysis.law`.
"""

import re
import warnings
from collections.abc import Collection

import numpy as np
import pandas as pd

from dit_grid.analysis.fits.comparison import AnyLaw
from dit_grid.analysis.fits.linear import LogLinear, ParamsTokens, PowerLaw, Quadratic
from dit_grid.analysis.fits.powers import SumOfPowers
from dit_grid.analysis.fits.rows import CannotFitError, is_numeric, numbers

_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?([eE][+-]?\d+)?")

FLOPS_PER_PARAM_TOKEN = 6
"""Training operations a parameter and token of a language model (Kaplan et al. 2020); DiTs have their own counts."""


def read_points(path: str, columns: Collection[str]) -> pd.DataFrame:
    """The rows of a CSV; in its `columns` what is no number stays as it was, for the fit to drop and name.

    Thousands separators, as in 10,000,000, are read where every cell of the column that has a comma has it so; a
    warning says of which. Where `tokens` is asked for and only `flops` and `params` are there,
    tokens = flops / (6 params).

    Raises:
        CannotFitError: the file cannot be read, or a column is missing.
    """
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError, OverflowError) as error:
        raise CannotFitError(f"{path}: cannot be read as CSV ({' '.join(str(error).split())})") from error
    for name in {*columns, "flops", "params"} & set(frame.columns):
        frame[name] = _read(path, frame[name])
    if "tokens" not in frame and {"flops", "params"} <= set(frame.columns):
        with np.errstate(divide="ignore", invalid="ignore"):
            frame["tokens"] = numbers(frame["flops"]) / (FLOPS_PER_PARAM_TOKEN * numbers(frame["params"]))
    absent = [name for name in columns if name not in frame]
    if absent:
        held = ", ".join(map(str, frame.columns))
        hint = "; separate columns by commas" if len(frame.columns) == 1 and {";", "\t"} & set(held) else ""
        raise CannotFitError(f"{path}: no column {', '.join(map(repr, absent))}; it has {held[:400]}{hint}")
    frame.index = pd.RangeIndex(2, len(frame) + 2)  # rows are named by their line in the file
    return frame


def _read(path: str, column: pd.Series) -> pd.Series:
    """The column as float64, or as it is where a cell is no number; thousands separators are read."""
    if is_numeric(column):
        return column.astype("float64")
    column = column.astype(object)
    text = column.map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
    separated = text.map(lambda cell: isinstance(cell, str) and "," in cell)
    if separated.any() and text[separated].map(lambda cell: bool(_THOUSANDS.fullmatch(cell))).all():
        first = text[separated].iloc[0]
        warnings.warn(
            f"{path}: column {column.name} has commas in {separated.sum()} cells, read as thousands separators: "
            f"{first} is {float(first.replace(',', '')):.12g}",
            stacklevel=3,
        )
        text = text.where(~separated, text.map(lambda cell: cell.replace(",", "") if isinstance(cell, str) else cell))
    read = numbers(text)
    return read if read.notna().equals(column.notna()) else read.astype(object).where(read.notna(), column)


def law_named(form: str, x: tuple[str, ...], y: str, delta: float | None = None) -> AnyLaw:
    """The law of a short name: powers, power, line, quadratic or interaction, in the given columns.

    Raises:
        CannotFitError: it takes another number of columns, or no Huber threshold.
    """
    if not x:
        raise CannotFitError("no column to fit in; name at least one, e.g. --x params,tokens")
    if repeated := [name for name in dict.fromkeys((*x, y)) if (*x, y).count(name) > 1]:
        raise CannotFitError(
            f"column {repeated[0]!r} is named twice; a law is of different columns, and of another than its own y"
        )
    if delta is not None and not 1e-12 <= delta <= 1e12:
        raise CannotFitError(f"--delta {delta:g}: a threshold on ln y is from 1e-12 to 1e12, e.g. 1e-3")
    needs = {"powers": None, "power": 1, "line": 1, "quadratic": 1, "interaction": 2}[form]
    if needs is not None and len(x) != needs:
        raise CannotFitError(f"form {form} takes {needs} column{'s' * (needs > 1)}; got {', '.join(x) or 'none'}")
    if delta is not None and form != "powers":
        raise CannotFitError(f"form {form} is fitted by least squares; --delta is for powers")
    if form == "powers":
        return SumOfPowers(x, y, delta)
    if form == "interaction":
        return ParamsTokens(x[0], x[1], y)
    return {"power": PowerLaw, "line": LogLinear, "quadratic": Quadratic}[form](x[0], y)
