"""Laws and their fits: a law is a small record of settings, `law.fit(frame)` returns a `FitResult`; no state between.

What is here is the vocabulary; `linear` and `powers` hold the laws, `result` what a fit returns. numpy and scipy only.
"""

from dit_grid.analysis.fits.bootstrap import Bootstrap, bootstrap
from dit_grid.analysis.fits.comparison import FORMS, compare, hold_out_largest, leave_one_out
from dit_grid.analysis.fits.correlation import Correlation, correlate
from dit_grid.analysis.fits.linear import LogLinear, ParamsTokens, PerGroup, PowerLaw, Quadratic
from dit_grid.analysis.fits.powers import SumOfPowers
from dit_grid.analysis.fits.result import Dropped, Estimate, FitResult, Status
from dit_grid.analysis.fits.rows import CannotFitError

__all__ = [
    "FORMS",
    "Bootstrap",
    "CannotFitError",
    "Correlation",
    "Dropped",
    "Estimate",
    "FitResult",
    "LogLinear",
    "ParamsTokens",
    "PerGroup",
    "PowerLaw",
    "Quadratic",
    "Status",
    "SumOfPowers",
    "bootstrap",
    "compare",
    "correlate",
    "hold_out_largest",
    "leave_one_out",
]
