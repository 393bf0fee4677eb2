"""Models of a store that were not run: what they would reach, which to run next, and when enough is known.

Forms that a law can have, and their fits, are `fits`; prices of runs are the orchestrator's `planning`.
"""

from typing import TYPE_CHECKING

from dit_grid.model.lazy import on_first_use

if TYPE_CHECKING:
    from dit_grid.analysis.forecasting.anything import forecast as forecast
    from dit_grid.analysis.forecasting.candidates import named_models as named_models
    from dit_grid.analysis.forecasting.design import Design as Design, rank as rank
    from dit_grid.analysis.forecasting.prediction import Forecast as Forecast
    from dit_grid.analysis.forecasting.target import Target as Target, parse_target as parse_target

__getattr__, __dir__ = on_first_use(__name__)
