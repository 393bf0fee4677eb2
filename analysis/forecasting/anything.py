"""One `forecast` for whatever there is: a store's results or its path, and any table as a frame or a file.

What is here only tells them apart, as the command does; models of a store are `prediction`, tables are `tables`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import pandas as pd

from dit_grid.analysis.fits import FORMS
from dit_grid.analysis.fits.comparison import AnyLaw
from dit_grid.analysis.forecasting import prediction
from dit_grid.analysis.forecasting.prediction import Forecast
from dit_grid.analysis.results.frames import Results, load
from dit_grid.analysis.tables import TableError, TableForecast, forecast_table
from dit_grid.analysis.tables.table import is_table, read_table


@overload
def forecast(
    data: Results | str | Path, candidates: pd.DataFrame | None = None, metric: str = "fd_conv",
    forms: tuple[AnyLaw, ...] = FORMS,
) -> Forecast: ...  # fmt: skip


@overload
def forecast(
    data: pd.DataFrame | str | Path, candidates: pd.DataFrame | str | Path, metric: str, *, x: Sequence[str],
    group: str | None = None,
) -> TableForecast: ...  # fmt: skip


def forecast(
    data: Results | pd.DataFrame | str | Path, candidates: pd.DataFrame | str | Path | None = None,
    metric: str = "fd_conv", forms: tuple[AnyLaw, ...] = FORMS, *, x: Sequence[str] | None = None,
    group: str | None = None,
) -> Forecast | TableForecast:  # fmt: skip
    """What runs that were not made would reach in `metric`, with 95 % intervals of one new run.

    Of a store (its `Results`, path or URL): `prediction.forecast` of the models in `candidates`, by default those
    without a final value. Of a table (a frame, or a CSV, TSV or Parquet file): `tables.forecast_table` of the rows of
    `candidates` from the columns `x`, as `dit-grid forecast TABLE --predict ROWS --y METRIC --x COLUMNS` does.

    Raises:
        TableError: a table without rows to predict or without `x`, one that cannot be used, or `x` or `group` of a
            store. For a store what `load` and `prediction.forecast` raise.
    """
    if isinstance(data, pd.DataFrame) or is_table(data):
        if candidates is None or not x:
            raise TableError(
                "a table's forecast needs rows to predict and x: forecast(runs, rows, 'fid', x=['gflops'])"
            )
        names = (_name(data, "the table"), _name(candidates, "the rows to predict"))
        return forecast_table(_frame(data), _frame(candidates), metric, list(x), group, names=names)
    if x is not None or group is not None:
        raise TableError("x and group go with a table; a store's runs say themselves what they are")
    if isinstance(candidates, str | Path):
        candidates = read_table(candidates)
    results = data if isinstance(data, Results) else load(str(data))
    return prediction.forecast(results, candidates, metric, forms)


def _frame(data: "Results | pd.DataFrame | str | Path") -> pd.DataFrame:
    return data if isinstance(data, pd.DataFrame) else read_table(str(data))


def _name(data: object, else_: str) -> str:
    return str(data) if isinstance(data, str | Path) else else_
