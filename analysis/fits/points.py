"""Points made elsewhere: a CSV with a column a quantity, and laws by the short names of the command line.

What is here reads and checks; fits of a store's own results start from `dit_grid.analysis.law`.
"""

from collections.abc import Collection

import pandas as pd

from dit_grid.analysis.fits.comparison import AnyLaw
from dit_grid.analysis.fits.linear import LogLinear, ParamsTokens, PowerLaw, Quadratic
from dit_grid.analysis.fits.powers import SumOfPowers
from dit_grid.analysis.fits.rows import CannotFitError

FLOPS_PER_PARAM_TOKEN = 6
"""Training operations a parameter and token of a language model (Kaplan et al. 2020); DiTs have their own counts."""


def read_points(path: str, columns: Collection[str]) -> pd.DataFrame:
    """The rows of a CSV; its `columns` are numbers, and what is not a number is NaN for the fit to drop and name.

    Where `tokens` is asked for and only `flops` and `params` are there, tokens = flops / (6 params).

    Raises:
        CannotFitError: the file cannot be read, or a column is missing.
    """
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise CannotFitError(f"{path}: cannot be read as CSV ({error})") from error
    if "tokens" not in frame and {"flops", "params"} <= set(frame.columns):
        frame["tokens"] = _numbers(frame["flops"]) / (FLOPS_PER_PARAM_TOKEN * _numbers(frame["params"]))
    absent = [name for name in columns if name not in frame]
    if absent:
        raise CannotFitError(f"{path}: no column {', '.join(absent)}; it has {', '.join(map(str, frame.columns))}")
    frame[list(columns)] = frame[list(columns)].apply(_numbers)
    frame.index = pd.RangeIndex(2, len(frame) + 2)  # rows are named by their line in the file
    return frame


def _numbers(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column, errors="coerce").astype("float64")


def law_named(form: str, x: tuple[str, ...], y: str, delta: float | None = None) -> AnyLaw:
    """The law of a short name: powers, power, line, quadratic or interaction, in the given columns.

    Raises:
        CannotFitError: it takes another number of columns, or no Huber threshold.
    """
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
