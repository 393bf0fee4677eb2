"""Any table of runs, of whatever models: what rows that were not measured would reach, by a mixture of laws.

What a store's runs are, and laws with names and coefficients, are `results` and `fits`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.tables.any_table import (
        TableForecast as TableForecast,
        forecast_table as forecast_table,
    )
    from dit_grid.analysis.tables.choice import NextRows as NextRows, next_rows as next_rows
    from dit_grid.analysis.tables.table import TableError as TableError
    from dit_grid.analysis.tables.wording import said as said

__getattr__, __dir__ = on_first_use(__name__)
