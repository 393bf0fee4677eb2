"""Models that were not run, and any table of runs: what comes next, which to run next, and when enough is known.

Forms that a law can have, and their fits, are `fits`; prices of runs are the orchestrator's `planning`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.forecasting.any_table import (
        TableForecast as TableForecast,
        forecast_table as forecast_table,
    )
    from dit_grid.analysis.forecasting.candidates import named_models as named_models
    from dit_grid.analysis.forecasting.design import Design as Design, rank as rank
    from dit_grid.analysis.forecasting.prediction import Forecast as Forecast, forecast as forecast
    from dit_grid.analysis.forecasting.table import TableError as TableError
    from dit_grid.analysis.forecasting.target import Target as Target, parse_target as parse_target
    from dit_grid.analysis.forecasting.wording import said as said

__getattr__, __dir__ = on_first_use(__name__)
